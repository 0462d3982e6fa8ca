"""Worlds whose truth is known, and what EX2 says of them: one module for each question.

| module | question |
|---|---|
| `dose` | Does more of a preference in the VLM make more of it in the descriptions, and as much as the theory says? |
| `null` | How often is a preference reported where the score is a hash of the text? |
| `attribution` | Is a gain by style told from a gain by content? |
| `draws` | Is a difference found between two describings by the same policy? |
| `base_mix` | Is a preference found against a base model that says mostly something else? |
| `judge_errors` | Are shares right after correction for a judge that errs? |
| `stability` | Does the demo say the same on other seeds and processors? |

Each says its rules beforehand, in its docstring. Each rule has a twin, an answer that was guessed or a policy that
never moved, which must break it: a rule that its twin passes shows nothing. VLMs, the base model's texts and trained
runs lie in the cache (`calibration` in `cache_dir()`); what is there is not made again. Simulations are made anew: they
ask the analysis as it is now.
"""
