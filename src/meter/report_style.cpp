// The look of the report: one column on a phone, cards and small charts side by side on a desktop; dark where the
// reader prefers it; ink on white when printed.
#include "src/meter/report_html.h"

namespace tw::report {

std::string_view style_sheet() {
  return R"css(
:root{color-scheme:light dark;--page:#f6f6f3;--card:#fff;--ink:#1b1e23;--soft:#5c636e;--rule:#e3e3dd;--a:#1f6feb;--b:#d9622b;
--good:#1a7f4e;--bad:#b42318;--wait:#8a6100;--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){:root{--page:#14161a;--card:#1c1f25;--ink:#e8e9ec;--soft:#9aa2ae;--rule:#2d323b;--a:#6ea8ff;
--b:#f59a64;--good:#4cc38a;--bad:#ff7b72;--wait:#e3b341}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 20px 64px}
header h1{margin:0 0 6px;font-size:1.9rem;line-height:1.2;overflow-wrap:anywhere;letter-spacing:-.01em}
header p{margin:4px 0;color:var(--soft);overflow-wrap:anywhere}
.brand{font-size:.8rem;font-weight:650;letter-spacing:.09em;text-transform:uppercase;color:var(--a)}
.state{display:inline-block;padding:1px 10px;border-radius:99px;border:1px solid currentColor;font-size:.85rem;font-weight:600}
.state.done{color:var(--good)}.state.failed{color:var(--bad)}.state.stopped,.state.running,.state.unknown{color:var(--wait)}
h2{margin:0 0 14px;font-size:1.2rem}h3{margin:22px 0 8px;font-size:.95rem;color:var(--soft);font-weight:600}
section{margin-top:40px}
.cards{display:grid;grid-template-columns:repeat(12,1fr);gap:14px;margin-top:24px}
.card,.chart,.sample{background:var(--card);border:1px solid var(--rule);border-radius:12px}
.card{padding:16px 18px;grid-column:span 3;min-width:0}
.card.wide{grid-column:span 6;grid-row:span 2}
.card .what{font-size:.83rem;color:var(--soft)}
.card .big{font-size:1.75rem;font-weight:650;line-height:1.25;letter-spacing:-.015em;overflow-wrap:anywhere}
.card .big small{font-size:.95rem;font-weight:500;color:var(--soft);letter-spacing:0}
.card .more{font-size:.83rem;color:var(--soft);overflow-wrap:anywhere}
.bars{display:grid;grid-template-columns:auto 1fr auto;gap:7px 12px;align-items:center;margin:14px 0 10px;font-size:.88rem}
.bars .bar{height:14px;border-radius:7px;background:var(--rule);overflow:hidden}
.bars .bar i{display:block;height:100%;border-radius:7px;background:var(--soft);opacity:.55}
.bars .me{font-weight:650}.bars .me+.bar i{background:var(--a);opacity:1}
.bars .v{text-align:right;font-variant-numeric:tabular-nums}
.charts{display:grid;grid-template-columns:repeat(6,1fr);gap:14px}
.chart{margin:0;padding:14px 16px 10px;grid-column:span 2;min-width:0}
.chart.tall{grid-column:1/-1}
.chart.half{grid-column:span 3}.charts .missing{grid-column:1/-1}
figcaption{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:.88rem;margin-bottom:10px}
.unit{color:var(--soft);margin-left:auto}
.key::before{content:"";display:inline-block;width:14px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle;background:var(--a)}
.key.b::before{background:var(--b)}
.plot{position:relative;height:120px;margin:0 8px 22px 46px}
.tall .plot{height:300px}
.plot svg{position:absolute;inset:0;width:100%;height:100%;overflow:visible}
.plot path{fill:none;vector-effect:non-scaling-stroke}
.grid{stroke:var(--rule);stroke-width:1}
.line{stroke:var(--a);stroke-width:1.8;stroke-linejoin:round}.line.b{stroke:var(--b)}
.plot .band{fill:var(--a);opacity:.16;stroke:none}.plot .band.b{fill:var(--b)}
.dots{stroke:var(--a);stroke-width:7;stroke-linecap:round}.dots.b{stroke:var(--b)}
.plot span{position:absolute;font-size:.74rem;color:var(--soft);font-variant-numeric:tabular-nums;white-space:nowrap}
.plot .y{right:calc(100% + 7px);transform:translateY(-50%)}
.plot .x{top:calc(100% + 4px);transform:translateX(-50%)}
.xlabel{text-align:center;font-size:.74rem;color:var(--soft);margin:-4px 0 0 38px}
.cursor{display:none;position:absolute;top:0;bottom:0;width:1px;background:var(--soft);pointer-events:none}
.tip{display:none;position:absolute;top:4px;padding:4px 9px;border-radius:7px;background:var(--ink);color:var(--page);font-size:.78rem;white-space:nowrap;pointer-events:none;z-index:1;font-variant-numeric:tabular-nums}
.samples{display:grid;gap:14px}
.sample{padding:14px 18px;margin:0}
.sample .text{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;font-family:Charter,Georgia,"DejaVu Serif",serif;line-height:1.6}
.sample .prompt{color:var(--soft)}
.sample mark{background:none;color:inherit;border-left:2px solid var(--a);padding-left:3px;margin-left:1px}
.sample footer{margin-top:8px;font-size:.8rem;color:var(--soft)}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--rule);border-radius:12px}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{text-align:left;padding:7px 14px;border-bottom:1px solid var(--rule);vertical-align:top}
th{font-weight:600;color:var(--soft);white-space:nowrap}
tbody tr:last-child td{border-bottom:0}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.sum td{font-weight:650}tr.part td{color:var(--soft)}
td code,p code,li code{font:.86em var(--mono);overflow-wrap:anywhere}
pre{margin:0 0 12px;padding:12px 16px;background:var(--card);border:1px solid var(--rule);border-radius:12px;font:.84rem/1.55 var(--mono);white-space:pre;overflow-x:auto}
.missing,.note{color:var(--soft);margin:8px 0;font-size:.9rem}.missing{font-style:italic}
.tag{display:inline-block;padding:0 7px;border-radius:99px;border:1px solid var(--b);color:var(--b);font-size:.75rem;font-weight:600;vertical-align:middle}
details summary{cursor:pointer;color:var(--a);margin:10px 0}
.page-end{margin-top:48px;color:var(--soft);font-size:.83rem}
@media (max-width:860px){.card{grid-column:span 6}.card.wide{grid-column:1/-1}.charts .chart{grid-column:1/-1}}
@media (max-width:430px){main{padding:20px 12px 40px}header h1{font-size:1.5rem}.card{padding:13px 14px}.card .big{font-size:1.35rem}.tall .plot{height:230px}th,td{padding:6px 9px}.bars{gap:7px 8px}}
@media print{:root{color-scheme:light;--page:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#ccc;--a:#0b4fb3;--b:#b3460b}
body{font-size:11px}main{max-width:none;padding:0}section{margin-top:22px}.card,.chart,.sample,tr,pre{break-inside:avoid}h2{break-after:avoid}.tall .plot{height:220px}.scroll{overflow:visible}pre{white-space:pre-wrap}}
)css";
}

// The page reads without it: it adds values under the pointer and opens what is folded before printing.
std::string_view script() {
  return R"js(
addEventListener('beforeprint',()=>document.querySelectorAll('details').forEach(d=>d.open=true));
document.querySelectorAll('.plot').forEach(plot=>{
const lines=[...plot.querySelectorAll('.line')].map(l=>({name:l.dataset.name,points:JSON.parse(l.dataset.points)}));
const all=lines.flatMap(l=>l.points.map(p=>p[0]));
let first=Math.min(...all),last=Math.max(...all);if(first===last){first-=.5;last+=.5}
const tip=plot.querySelector('.tip'),cursor=plot.querySelector('.cursor');
plot.addEventListener('pointermove',e=>{
const r=plot.getBoundingClientRect(),at=first+Math.min(1,Math.max(0,(e.clientX-r.left)/r.width))*(last-first);
const near=lines.map(l=>l.points.reduce((a,b)=>Math.abs(b[0]-at)<Math.abs(a[0]-at)?b:a));
const step=near[0][0],x=(step-first)/(last-first)*100;
tip.textContent='step '+step+'  '+lines.map((l,i)=>(lines.length>1?l.name+' ':'')+near[i][1]).join('  ');
cursor.style.left=x+'%';cursor.style.display=tip.style.display='block';
tip.style.left=x>50?'auto':'calc('+x+'% + 8px)';tip.style.right=x>50?'calc('+(100-x)+'% + 8px)':'auto'});
plot.addEventListener('pointerleave',()=>cursor.style.display=tip.style.display='none')});
)js";
}

}  // namespace tw::report
