# Everything that a person or a machine does here, by name. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
WORKBENCH := workbench/workbench.sh

.PHONY: help demo test suite live gpu check golden lock bench deny oracle stacks extension fuzz clean-workbench catalog-drift

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

demo: ## build, check, smoke-test and push the quickstart for real; installs or starts what is missing
	@workbench/demo.sh

test: suite live ## every test, with real engines, a registry and the ECR API

suite: ## the tests that need nothing
	cargo test --quiet --lib --bins --test suite

live: ## the tests against three real Docker Engines, registries and the ECR API
	@cargo test --quiet --test live --no-run
	@cargo build --quiet --example architectures
	@$(WORKBENCH) up engine20 engine26 engine26c buildx studio studio-vpc buildkitd registry registry-auth ecr tools base base-arm64
	@eval "$$($(WORKBENCH) env)" && cargo test --quiet --test live -- --test-threads=2

gpu: ## smoke tests and seeded faults on a machine with a GPU; IMAGE=… names an image with PyTorch
	@tests/gpu/run.sh

check: ## format, lints, licences and advisories, documentation
	cargo fmt --check
	cargo clippy --all-targets --quiet -- -D warnings
	@$(MAKE) --no-print-directory deny
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

deny: ## licences, sources and duplicates of the dependencies
	@command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny
	cargo deny --all-features check bans licenses sources

golden: ## write the generated files anew, then show what changed
	SMP_IMAGE_GOLDEN=write cargo test --quiet --test suite golden
	INSTA_UPDATE=always cargo test --quiet --lib report
	@git status --short tests/golden docs

lock: ## lock the built-in recipes anew (asks the package index and registries)
	@$(WORKBENCH) up tools
	@cargo build --quiet
	@eval "$$($(WORKBENCH) env)" && for recipe in recipes/*.toml; do SMP_IMAGE_UV="$$SMP_WB_UV" target/debug/smp-image lock "$$recipe" --upgrade; done && \
		SMP_IMAGE_UV="$$SMP_WB_UV" target/debug/smp-image lock recipes/quickstart.toml --arch arm64 --upgrade

catalog-drift: ## compare the catalogue with the package index of today; fails where they differ
	@$(WORKBENCH) up tools
	@cargo build --quiet
	@eval "$$($(WORKBENCH) env)" && SMP_IMAGE_UV="$$SMP_WB_UV" target/debug/smp-image catalog --drift

bench: ## measure against docker buildx and linear Dockerfiles, side by side, and print ratios
	@python3 workbench/bench.py
	@cargo build --quiet --release
	@python3 workbench/bench_check.py
	@python3 workbench/bench_resolve.py

oracle: ## hold our list of GPU architectures against NVIDIA's cuobjdump on real libraries (downloads 5 GB once)
	@cargo build --quiet --release --example architectures
	@python3 workbench/oracle.py

stacks: ## look into images of unmodified working stacks, where every error is a false alarm (downloads 25 GB, 5 GB at a time)
	@cargo build --quiet --release
	@$(WORKBENCH) up base base-arm64 fabric
	@eval "$$($(WORKBENCH) env)" && python3 workbench/stacks.py

extension: ## compile Transformer Engine's PyTorch extension once, and take it on a second, clean builder (downloads 3 GB, half an hour)
	@cargo build --quiet --release
	@python3 workbench/extension.py

fuzz: ## build the fuzz targets and run each for a minute
	@fuzz/build.sh --quiet
	@python3 fuzz/corpus.py fuzz/corpus
	@for target in image layer elf fatbin texts rpm manifest; do mkdir -p fuzz/corpus/$$target; fuzz/target/*/release/$$target fuzz/corpus/$$target -max_total_time=60 -print_final_stats=1 2>&1 | tail -7; done

clean-workbench: ## stop the workbench's engines and remove what they kept
	@$(WORKBENCH) wipe
