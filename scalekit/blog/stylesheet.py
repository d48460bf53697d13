"""How the pages look: one small stylesheet, light and dark, no script."""

STYLESHEET = """\
:root {
  --paper: #fdfcfa; --panel: #f4f1ec; --ink: #24211d; --quiet: #6b655c; --line: #e2dcd2;
  --link: #1d5b8f; --accent: #b4481e; --on-accent: #fff; --alert: #fbe9e3;
  color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181b; --panel: #1f2226; --ink: #e4e1db; --quiet: #9b968d; --line: #32363c;
    --link: #8abde6; --accent: #e8824f; --on-accent: #1b1206; --alert: #3a231a;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-bottom: 3.5rem; }
body {
  margin: 0; min-height: 100vh; display: flex; flex-direction: column;
  background: var(--paper); color: var(--ink);
  font: 17px/1.6 Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif;
  overflow-wrap: break-word;
}
a { color: var(--link); text-underline-offset: 0.15em; text-decoration-thickness: 1px; }
a:focus-visible, input:focus-visible, textarea:focus-visible, button:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px;
}
.top, .foot, aside, .meta, label, button, .button, .hint, .alert, .pages, .actions {
  font-family: system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
.top { border-bottom: 1px solid var(--line); }
.top > div, .foot > div, .columns { width: 100%; max-width: 66rem; margin: 0 auto; padding: 0 1.25rem; }
.top > div { display: flex; align-items: center; justify-content: space-between; gap: 1rem; padding-block: 0.9rem; }
.name { font-weight: 700; font-size: 1.1rem; letter-spacing: -0.01em; color: var(--ink); text-decoration: none; }
.button, button {
  display: inline-block; padding: 0.4rem 0.9rem; border: 0; border-radius: 0.4rem;
  background: var(--accent); color: var(--on-accent); font-size: 0.9rem; font-weight: 600;
  text-decoration: none; cursor: pointer;
}
.button:hover, button:hover { filter: brightness(1.08); }
.columns { display: grid; grid-template-columns: minmax(0, 1fr) 17rem; gap: 3.5rem; padding-block: 1.5rem 3rem; }
.narrow { width: 100%; max-width: 44rem; margin: 0 auto; padding: 1.5rem 1.25rem 3rem; }
h1, h2, h3 { line-height: 1.25; letter-spacing: -0.01em; text-wrap: balance; }
h1 { font-size: 2.1rem; margin: 0.8rem 0 0.4rem; }
.meta { color: var(--quiet); font-size: 0.85rem; }
.posts { list-style: none; margin: 0; padding: 0; }
.summary { padding: 1.1rem 0; border-bottom: 1px solid var(--line); }
.summary h2 { margin: 0 0 0.3rem; font-size: 1.35rem; }
.summary h2 a { color: inherit; text-decoration: none; }
.summary h2 a:hover { color: var(--link); text-decoration: underline; }
.summary p { margin: 0.3rem 0; }
aside { font-size: 0.88rem; line-height: 1.45; }
aside section { background: var(--panel); border-radius: 0.6rem; padding: 0.9rem 1.1rem; margin: 1.1rem 0; }
aside h2 {
  font-size: 0.78rem; text-transform: uppercase; letter-spacing: 0.06em; color: var(--quiet); margin: 0 0 0.5rem;
}
aside ul { list-style: none; margin: 0; padding: 0; }
aside li { display: flex; justify-content: space-between; gap: 0.8rem; padding: 0.22rem 0; }
aside small { color: var(--quiet); white-space: nowrap; font-size: inherit; }
.post p { margin: 1.1em 0; }
.post .meta { margin: 0 0 1.8rem; }
.comments { margin-top: 3rem; border-top: 1px solid var(--line); }
.comments h2 { font-size: 1.1rem; }
.comments ol { list-style: none; margin: 0; padding: 0; }
.comments li { background: var(--panel); border-radius: 0.6rem; padding: 0.75rem 1.1rem; margin: 0.8rem 0; }
.comments li p { margin: 0.25rem 0; }
label { display: block; margin: 1.1rem 0 0; font-size: 0.9rem; font-weight: 600; }
input, textarea {
  display: block; width: 100%; margin-top: 0.3rem; padding: 0.55rem 0.7rem;
  border: 1px solid var(--line); border-radius: 0.4rem; background: var(--panel); color: inherit;
  font-family: inherit; font-size: 1rem; font-weight: 400;
}
textarea { font: 17px/1.6 Charter, "Bitstream Charter", Cambria, Georgia, serif; resize: vertical; }
.hint { color: var(--quiet); font-size: 0.85rem; margin: 0.4rem 0 0; }
button { padding: 0.5rem 1.4rem; }
.actions { display: flex; align-items: center; gap: 1.1rem; font-size: 0.9rem; margin-top: 1.4rem; }
.alert {
  background: var(--alert); border-left: 4px solid var(--accent); border-radius: 0.3rem; padding: 0.6rem 0.9rem;
}
.theirs { margin-top: 2.5rem; border-top: 1px solid var(--line); }
.pages { display: flex; justify-content: space-between; padding: 1.4rem 0; font-size: 0.9rem; color: var(--quiet); }
.foot {
  position: sticky; bottom: 0; margin-top: auto; border-top: 1px solid var(--line);
  background: var(--paper); color: var(--quiet); font-size: 0.82rem;
}
body:has(form) .foot { position: static; }
.foot > div { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; padding-block: 0.6rem; }
.foot b { color: var(--ink); font-weight: 600; }
@media (max-width: 52rem) {
  .columns { grid-template-columns: minmax(0, 1fr); gap: 0.5rem; }
  h1 { font-size: 1.7rem; }
}
"""
