"""A report as one self-contained page: it needs no network, filters, sorts and prints."""

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import attrs

from invoicexpress_async.cli.shell import printable
from invoicexpress_async.cli.words import Language, counted, label, word

_COLOURS: Final[Mapping[str, str]] = {
    "done": "#2e7d32",
    "fine": "#2e7d32",
    "prepared": "#00838f",
    "partial": "#ef6c00",
    "another serie lacks codes": "#f9a825",
    "unplanned": "#f9a825",
    "unknown": "#8e24aa",
    "absent": "#8e24aa",
    "in flight": "#8e24aa",
    "planned": "#9e9e9e",
    "open": "#9e9e9e",
}
_CODE: Final = re.compile("`([^`]+)`")
_OTHER_COLOUR: Final = "#c62828"
_STYLE: Final = """
body{display:flex;flex-direction:column;margin:1.5rem;font:15px/1.4 system-ui,sans-serif;color:#222}
header{order:-1}h1{font-size:1.4rem;margin:0 0 .3rem}h2{font-size:1rem;margin:1rem 0 .2rem}
.bar{display:flex;height:1.4rem;margin:.6rem 0;border-radius:4px;overflow:hidden}
button{border:0;background:none;font:inherit;color:inherit;cursor:pointer;padding:0}
.key button{padding:.1rem .5rem .1rem 0}.key [aria-pressed=true]{text-decoration:underline}
.key i{display:inline-block;width:.8em;height:.8em;margin-right:.3em;border-radius:2px}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{text-align:left;vertical-align:top;padding:.25rem .4rem;border-bottom:1px solid #ddd}
th{position:sticky;top:0;background:#fff}
th span{cursor:pointer}th span::after{content:" \\2195";color:#bbb}
th[aria-sort=ascending] span::after{content:" \\25b2";color:#222}
th[aria-sort=descending] span::after{content:" \\25bc";color:#222}
td{white-space:nowrap}.n{text-align:right}
td.t,td.w{white-space:normal;min-width:18ch;max-width:60ch;overflow-wrap:anywhere}
td.w{max-width:26ch}
code{background:#f3f3f3;padding:0 .2em}
tr.a td:first-child{box-shadow:inset 4px 0 #c62828}
input{font:inherit;padding:.3rem;width:min(24rem,100%)}
@media screen and (max-width:800px){thead,tbody,tr,td,th{display:block}
thead tr,tbody tr{display:flex;flex-wrap:wrap;gap:.1rem .9rem;padding:.4rem 0 .4rem .6rem}
tbody tr{border-bottom:1px solid #ddd}tr.a{box-shadow:inset 4px 0 #c62828}
th,td,tr.a td:first-child{border:0;padding:0;box-shadow:none;min-width:0}th{position:static}
td:empty,[hidden]{display:none!important}td.t{flex-basis:100%;max-width:none}
td::before{color:#666}}
@media print{.tools,th span::after{display:none}body{display:block;margin:0;font-size:10px}
table{font-size:9px}thead{display:table-header-group;break-inside:avoid}tr{break-inside:avoid}th{position:static}
td.t{min-width:12ch}.bar,.key i{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
@page{size:A4 landscape;margin:12mm}
"""
_SCRIPT: Final = """
document.body.prepend(document.querySelector('header'));
const body=document.querySelector('tbody'),rows=[...body.rows],first=[...rows],
heads=[...document.querySelectorAll('th')],keys=[...document.querySelectorAll('.key button')],
q=document.getElementById('q'),n=document.getElementById('n'),words=new Map(),
order=new Intl.Collator(undefined,{numeric:true}).compare;
const is=(c,w)=>c.textContent.toLowerCase()===w;
const text=r=>words.get(r)||(words.set(r,r.textContent.toLowerCase()),words.get(r));
function filter(){const w=q.value.trim().toLowerCase();let c=0;
for(const r of rows){const y=!w||(w[0]==='='?[...r.cells].some(x=>is(x,w.slice(1)))
:text(r).includes(w));r.hidden=!y;c+=y}
n.textContent=c+' / '+rows.length;
for(const k of keys)k.setAttribute('aria-pressed',k.dataset.q===q.value)}
function sort(i,way){heads.forEach((h,j)=>h.setAttribute('aria-sort',i===j?way:'none'));
const t=new Map(rows.map(r=>[r,r.cells[i].textContent])),s=way==='descending'?-1:1;
body.append(...(way==='none'?first:rows.sort((x,y)=>order(t.get(x),t.get(y))*s)))}
const next={none:'ascending',ascending:'descending',descending:'none'};
// No <button>: Chromium does not print it in the heads of later pages.
heads.forEach((h,i)=>{const b=document.createElement('span');b.append(...h.childNodes);
h.append(b);h.setAttribute('aria-sort','none');b.role='button';b.tabIndex=0;
b.onclick=()=>sort(i,next[h.getAttribute('aria-sort')]);
b.onkeydown=e=>{if(e.key==='Enter'||e.key===' '){e.preventDefault();b.click()}}});
for(const k of keys)k.onclick=()=>{q.value=q.value===k.dataset.q?'':k.dataset.q;filter()};
q.oninput=filter;filter();
"""
# On a small screen a row is a block, and each value has the name of its column before it.
_NAME_STYLE: Final = "@media screen and (max-width:800px){{{}}}"


@attrs.frozen(kw_only=True)
class ReportFacts:
    """The facts at the top of a page.

    Attributes:
        noun: The records in a word, in the plural.
        about: The series or the year of the report.
        counts: How many records there are, by state.
        advice: The problems that need a person, each with what to do about it.
    """

    noun: str
    about: str
    counts: Mapping[str, int]
    advice: Sequence[str]


class Cell(NamedTuple):
    """A cell of a row or of the header.

    Attributes:
        text: The text shown.
        kind: "n" for a number; "t" for a text and "w" for a long word, which are wrapped; else "".
    """

    text: str
    kind: str

    def tag(self, name: str) -> str:
        kind = f" class={self.kind}" if self.kind else ""
        text = _text(self.text) if self.kind == "t" else _escape(self.text)
        return f"<{name}{kind}>{text}</{name}>"


def page_mark(title: str, language: Language) -> str:
    """Return the start of a page, by which every version recognises a report."""
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="generator" content="invoicexpress">'
        f"<title>InvoiceXpress: {_escape(word(title, language))}</title>"
    )


def page_start(title: str, headings: Iterable[Cell], language: Language) -> str:
    """Return the beginning of a page, up to the first row."""
    columns = list(headings)
    heads = "".join(one.tag("th") for one in columns)
    names = "".join(
        f"td:nth-child({at})::before{{content:{json.dumps(one.text + ': ', ensure_ascii=False)}}}"
        for at, one in enumerate(columns, 1)
    )
    return (
        f'{page_mark(title, language)}<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        f"<style>{_STYLE}{_NAME_STYLE.format(names)}</style></head><body><main><table>"
        f"<thead><tr>{heads}</tr></thead><tbody>\n"
    )


def page_row(cells: Iterable[Cell], *, needs_person: bool) -> str:
    shown = "".join(one.tag("td") for one in cells)
    return f"<tr{' class=a' if needs_person else ''}>{shown}</tr>\n"


def page_end(title: str, facts: ReportFacts, language: Language) -> str:
    """Return the rest of a page, including its header, which the script moves to the top."""
    counts = {state: count for state, count in facts.counts.items() if count}
    total = sum(counts.values())
    bar = "".join(
        f'<div style="flex:{count};background:{_colour(state)}"></div>'
        for state, count in counts.items()
    )
    key = "".join(
        f'<button data-q="={_escape(label(state, language))}">'
        f'<i style="background:{_colour(state)}"></i>{_escape(counted(count, state, language))}'
        "</button>"
        for state, count in counts.items()
    )
    nothing = word("Nothing needs a person.", language)
    advice = "".join(f"<li>{_text(one)}</li>" for one in facts.advice) or f"<li>{nothing}</li>"
    when = f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    about = [facts.about, when, f"{total} {word(facts.noun, language)}"]
    return (
        f"</tbody></table></main><header><h1>InvoiceXpress: {_escape(word(title, language))}</h1>"
        f"<p>{' · '.join(_escape(one) for one in about if one)}</p>"
        f'<div class="bar">{bar}</div><p class="key">{key}</p>'
        f"<h2>{word('What to do first', language)}</h2><ul>{advice}</ul>"
        f'<p class="tools"><input id="q" type="search" aria-label="{word("Filter", language)}" '
        f'placeholder="{word("Filter", language)}"> <span id="n"></span></p></header>'
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _escape(text: str) -> str:
    return html.escape(printable(text))


def _text(text: str) -> str:
    """Return a text as HTML, with the commands in it as code."""
    return _CODE.sub(r"<code>\1</code>", _escape(text))


def _colour(state: str) -> str:
    return _COLOURS.get(state, _OTHER_COLOUR)
