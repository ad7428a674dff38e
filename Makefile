# A thin front: Meson and Ninja do the work, scripts/ the rest.
BUILD ?= build

.PHONY: build demo test lint format fuzz bench bench-registry endurance clean deps help

build: deps-build $(BUILD)/build.ninja
	@ninja -C $(BUILD) cooper cooper.1

.PHONY: deps-build
deps-build:
	@scripts/deps.sh build

$(BUILD)/build.ninja:
	@meson setup $(BUILD) -Dtests=false >$(BUILD).setup.log 2>&1 || { cat $(BUILD).setup.log; exit 1; }
	@mv $(BUILD).setup.log $(BUILD)/setup.log

demo:
	@scripts/demo.sh

test:
	@scripts/test.sh

lint:
	@scripts/lint.sh

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

fuzz:
	@scripts/fuzz.sh

bench:
	@scripts/bench.sh bench.py

bench-registry:
	@scripts/bench.sh registry.py

endurance:
	@scripts/endurance.sh

clean:
	@rm -rf $(BUILD) build-*

help:
	@sed -n 's/^\([a-z-]*\):.*/make \1/p' Makefile | sort -u
