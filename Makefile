# cai: `make demo` sets up and removes noise from a photograph, `make learn` trains a classifier, `make test` sets up and passes the tests.
SHELL     := /bin/bash
PREFIX    ?= /usr/local
BUILD     := build
CC        := gcc
# The runtime is made by CC, and kept by the processor that CC makes code for.
ARCH      := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
RUNTIME_OF = $(BUILD)/runtime/$(ARCH)
LLVM      := llvm-config-19
WARN      := -Wall -Wextra -Wpedantic
CFLAGS    ?= -O2 -g -DNDEBUG
# Without fused multiply-adds, so that what cai computes into a program is the same on every machine.
# GCC 12 makes vectors of two adjacent (double)(float)x, and then leaves both conversions out (tests/unit/reals.c).
BASE      := -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-tree-slp-vectorize $(WARN) $(CFLAGS) -MMD -MP
LLVMFLAGS  = -isystem $(shell $(LLVM) --includedir) -isystem /usr/include/cairo
# Loops that ask for it are made of vectors; clang would tell which it leaves as they are.
CINCLUDE   = $(BASE) -fopenmp-simd -Wno-pass-failed -Icompiler -Iruntime -I$(BUILD)/grammar -I$(BUILD)/import $(LLVMFLAGS)

COMPILER  := $(sort $(wildcard compiler/*.c compiler/*/*.c compiler/*/*/*.c))
RUNTIME   := $(sort $(wildcard runtime/*/*.c))
UNIT      := $(sort $(wildcard tests/unit/*.c))
OBJECTS   := $(COMPILER:%.c=$(BUILD)/%.o) $(BUILD)/grammar/cai.tab.o $(BUILD)/grammar/cai.lex.o $(BUILD)/import/onnx.pb-c.o
CORE      := $(filter-out $(BUILD)/compiler/main.o,$(OBJECTS))
RUNOBJ    := $(RUNTIME:runtime/%.c=$(RUNTIME_OF)/%.o)
# The wings of the runtime that the compiler links: the readers and writers of files, and for `cai data`, `cai compare` and `cai run --reference`
# those of trainers and programs; but not those that call a built model.
SHARED    := $(filter-out %/start.o $(RUNTIME_OF)/library/% $(RUNTIME_OF)/python/%,$(RUNOBJ))
# Debian's Python, whose stable ABI the runtime's part for wheels is made for.
PYTHON     = $(patsubst -I%,-isystem %,$(shell /usr/bin/python3-config --includes))
# What the rows of pictures in formats.def name: libraries, and the packages that have them. All are linked statically, cai
# too: runtime/files/tiff.c chooses among the parts of one.
FORMATS   := runtime/files/formats.def
CODECS    := $(shell sed -nE 's/^PICTURE\(.*"([^"]*)", "[^"]*"\)$$/\1/p' $(FORMATS))
CODEC_DEV := $(shell sed -nE 's/^PICTURE\(.*, "([^"]*)"\)$$/\1/p' $(FORMATS))
# LLVM compresses sections by libzstd, whose -dev package nothing else needs; z3 and libxml2 belong to parts that are not linked.
LIBS       = $(shell $(LLVM) --link-static --libs x86 aarch64 passes) -l:libopenblas.a -Wl,--as-needed -lrt -ldl -l:libzstd.so.1 -lstdc++ -lcairo -l:libprotobuf-c.a -ljson-c -lzip -lexpat $(CODECS:%=-l:lib%.a) -lm -lpthread
# lld where it is installed: LLVM's archives take it a second, and GNU ld ten.
LLD       := $(shell $(LLVM) --bindir 2>/dev/null)
LINK      := $(CC) -no-pie $(filter -fsanitize%,$(CFLAGS)) $(if $(wildcard $(LLD)/ld.lld),-B$(LLD) -fuse-ld=lld)

# What a Debian 12 needs to build cai, to build with it, and to test it.
PACKAGES  := gcc g++ make binutils libc6-dev llvm-19-dev lld-19 flex bison $(CODEC_DEV) libjson-c-dev libzip-dev libexpat1-dev \
             libopenblas-serial-dev libprotobuf-c-dev protobuf-c-compiler libcunit1-dev clang-19 libclang-rt-19-dev python3-dev python3-numpy python3-venv clang-format graphviz libcairo2-dev

# Commands are told in short; V=1 shows them whole.
Q         := $(if $(V),,@)
say        = $(if $(V),,@echo "  $(1)  $(2)")

.PHONY: all deps learn bench-networks bench-train check format-c test test-all conformance recipes sanitize races fuzz bench bless lint docs install clean demo
all: $(BUILD)/cai $(RUNTIME_OF)/libcai_runtime.a $(RUNTIME_OF)/link.txt $(BUILD)/runtime/cai.h

$(BUILD)/cai: $(OBJECTS) $(SHARED)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ -L$(shell $(LLVM) --libdir) $(LIBS)
$(RUNTIME_OF)/libcai_runtime.a: $(RUNOBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@; ar rcs $@ $^

$(BUILD)/runtime/cai.h: runtime/cai.h
	@mkdir -p $(@D); cp $< $@

# What a static program is linked from, found here once (compiler/object/link.c says how it is read). With a sanitized runtime programs are
# linked dynamically: the sanitizers' own library wants it.
LINKWORDS := -static -s
LINKLIST  := start:crt1.o start:crti.o start:crtbeginT.o $(CODECS:%=image:lib%.a) blas:libopenblas.a data:libexpat.a data:libjson-c.a \
             system:libm.a system:libc.a system:libgcc.a system:libgcc_eh.a end:crtend.o end:crtn.o shared:libc.so.6
ifneq ($(findstring address,$(filter -fsanitize%,$(CFLAGS))),)
LINKWORDS  = --dynamic-linker=/lib64/ld-linux-x86-64.so.2 --export-dynamic -rpath=$(dir $(shell $(CC) -print-file-name=libclang_rt.asan-x86_64.so))
LINKLIST  := start:crt1.o start:crti.o start:crtbegin.o start:libclang_rt.asan-x86_64.so start:libclang_rt.asan_static-x86_64.a \
             $(CODECS:%=image:lib%.a) blas:libopenblas.a data:libexpat.so data:libjson-c.so system:libm.so.6 system:libc.so.6 system:libc_nonshared.a system:libgcc.a system:libgcc_s.so.1 \
             end:crtend.o end:crtn.o shared:libc.so.6
endif
$(RUNTIME_OF)/link.txt: Makefile $(FORMATS)
	@mkdir -p $(@D); { for word in $(LINKWORDS); do echo "option $$word"; done; for entry in $(LINKLIST); do \
	  file=$$(readlink -f "$$($(CC) -print-file-name=$${entry#*:})"); \
	  if [ -f "$$file" ]; then echo "$${entry%%:*} $$file"; else echo "blas:libopenblas.a" | grep -q "$$entry" || { echo "$${entry#*:} is missing: make deps" >&2; exit 1; }; fi; \
	done; } > $@.part && mv $@.part $@

$(BUILD)/grammar/cai.tab.c $(BUILD)/grammar/cai.tab.h &: grammar/cai.y
	@mkdir -p $(@D); bison -Werror -o $(BUILD)/grammar/cai.tab.c --defines=$(BUILD)/grammar/cai.tab.h $<
$(BUILD)/grammar/cai.lex.c: grammar/cai.l $(BUILD)/grammar/cai.tab.h
	@mkdir -p $(@D); flex -o $@ $<
$(BUILD)/grammar/%.o: $(BUILD)/grammar/%.c
	$(call say,CC,$<)
	$(Q)$(CC) $(CINCLUDE) -Wno-unused-function -Wno-unused-but-set-variable -c -o $@ $<
$(BUILD)/import/onnx.pb-c.c $(BUILD)/import/onnx.pb-c.h &: compiler/import/onnx.proto
	@mkdir -p $(@D); protoc-c --c_out=$(@D) -I$(<D) $<
$(BUILD)/import/%.o: $(BUILD)/import/%.c
	$(call say,CC,$<)
	$(Q)$(CC) $(CINCLUDE) -c -o $@ $<
$(BUILD)/compiler/import/read.o $(patsubst %.c,$(BUILD)/%.o,$(wildcard compiler/export/*.c)): | $(BUILD)/import/onnx.pb-c.h
# The reference's loops over elements are worth vectors, and what they call is worth unrolled loops.
$(BUILD)/compiler/graph/%.o $(BUILD)/compiler/base/real.o: BASE += $(if $(filter -O2,$(CFLAGS)),-O3)
$(BUILD)/compiler/%.o: compiler/%.c | $(BUILD)/grammar/cai.tab.h
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D); $(CC) $(CINCLUDE) -c -o $@ $<
$(RUNTIME_OF)/python/%.o: BASE += $(PYTHON)
$(RUNTIME_OF)/%.o: runtime/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D); $(CC) $(BASE) -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections -Iruntime -c -o $@ $<
$(BUILD)/tests/unit/%.o: tests/unit/%.c | $(BUILD)/grammar/cai.tab.h
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D); $(CC) $(CINCLUDE) -Itests/unit -c -o $@ $<

$(BUILD)/tests/kernels/%.o: tests/kernels/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D); $(CC) $(CINCLUDE) -Itests/unit -c -o $@ $<
# Sanitized objects count their branches, so that libFuzzer can use them, too.
SANITIZED  = BUILD=build/sanitize CC=clang-19 CFLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all"
FUZZ_OBJ  := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/fuzz/*.c) $(wildcard tests/unit/*_support.c))
$(BUILD)/tests/fuzz/%.o: tests/fuzz/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D); $(CC) $(CINCLUDE) -Itests/unit -c -o $@ $<
$(BUILD)/fuzz: $(FUZZ_OBJ) $(CORE) $(SHARED)
	$(call say,LINK,$@)
	$(Q)$(LINK) -fsanitize=fuzzer -o $@ $^ -L$(shell $(LLVM) --libdir) $(LIBS)
$(BUILD)/unit_tests: $(UNIT:%.c=$(BUILD)/%.o) $(BUILD)/tests/kernels/shape.o $(CORE) $(SHARED)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ -L$(shell $(LLVM) --libdir) $(LIBS) -lcunit

# How near kernels come to the machine's peak, and ResNet-18 beside onnxruntime (python3-torch, python3-torchvision).
$(BUILD)/kernel_bench: $(BUILD)/tests/kernels/bench.o $(BUILD)/tests/kernels/shape.o $(BUILD)/tests/unit/backend_support.o $(BUILD)/tests/unit/network_support.o $(CORE) $(SHARED)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ -L$(shell $(LLVM) --libdir) $(LIBS) -lcunit
$(BUILD)/memory_bench: $(BUILD)/tests/kernels/memory_bench.o $(BUILD)/tests/unit/backend_support.o $(CORE) $(SHARED)
	$(call say,LINK,$@)
	$(Q)$(LINK) -o $@ $^ -L$(shell $(LLVM) --libdir) $(LIBS) -lcunit
$(BUILD)/bench/machine: tests/bench/machine.c $(RUNTIME_OF)/libcai_runtime.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D); $(CC) $(filter-out -MMD -MP,$(BASE)) -Iruntime -o $@ $^ -lpthread -lm
# The networks' weights come from PyTorch, the peers from PyPI.
bench: PACKAGES += python3-torch python3-torchvision
bench: deps all $(BUILD)/kernel_bench $(BUILD)/memory_bench $(BUILD)/bench/machine
	tests/bench/run
	$(BUILD)/kernel_bench
	tests/kernels/networks
	tests/kernels/types
	$(BUILD)/memory_bench

# Every network of the examples beside onnxruntime, a quarter of an hour.
bench-networks: PACKAGES += python3-torch python3-torchvision
bench-networks: deps all
	tests/bench/all --write docs/networks/table.md

# Steps of training beside PyTorch's, a quarter of an hour; TORCH=PYTHON is one that has a later PyTorch than Debian's.
TORCH ?= /usr/bin/python3
bench-train: PACKAGES += python3-torch python3-torchvision
bench-train: deps all $(BUILD)/bench/machine
	tests/bench/train --python $(TORCH)

deps:
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f='$${Status}\n' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ "$$missing" ]; then sudo=$$([ $$(id -u) = 0 ] || echo sudo); echo "installing" $$missing; \
	  $$sudo apt-get -q update && DEBIAN_FRONTEND=noninteractive $$sudo apt-get -qy install --no-install-recommends $$missing; fi

check: $(BUILD)/unit_tests
	$(BUILD)/unit_tests
# Everything, from a fresh clone. STAGES="unit golden" runs only those.
test: deps
	$(MAKE) -j$$(nproc) all $(BUILD)/unit_tests
	$(MAKE) -j$$(nproc) $(SANITIZED) build/sanitize/fuzz
	CAI_VERIFY=1 tests/run $(STAGES)
# All there is, in one command of hours: `make test`, then what takes long. Each stage says what it is; the first that fails ends it.
stage      = @echo; echo "==== $(1)"
test-all: PACKAGES += python3-torch python3-torchvision
test-all: deps
	$(call stage,make test)
	$(MAKE) test
	$(call stage,every f32 through the polynomials of exp and its like)
	CAI_SWEEP=1 $(BUILD)/unit_tests math
	$(call stage,every 61st f32 through the activations of the library)
	CAI_SWEEP=61 $(BUILD)/unit_tests activations
	$(call stage,the kernels on every shape of tests/kernels/shapes.txt)
	CAI_SWEEP=1 $(BUILD)/unit_tests kernels
	$(call stage,gradients of all cases of the library for each target)
	CAI_SWEEP=1 $(BUILD)/unit_tests library_gradients
	$(call stage,all networks against PyTorch for each target)
	tests/numerics/run --all
	$(call stage,train blocks against PyTorch for each target)
	tests/learning/run --all
	$(call stage,each target of tests/fuzz for two minutes)
	tests/fuzz/run 120
	$(call stage,runs that are killed fifty times)
	tests/runs/kill 50
	$(call stage,all of ONNX's own tests, and the examples as ONNX)
	$(MAKE) conformance
	$(call stage,the recipes of docs/new-operator.md on a copy of the tree)
	$(MAKE) recipes
	$(call stage,the tests once more with the address and undefined-behaviour sanitizers)
	$(MAKE) sanitize
	$(call stage,threads under the thread sanitizer)
	$(MAKE) races
# ONNX's own tests, from PyPI. Then all examples as ONNX, run by onnxruntime.
conformance: deps all
	[ -x $(BUILD)/onnx/bin/pip ] || python3 -m venv $(BUILD)/onnx
	$(BUILD)/onnx/bin/pip install -q -r tests/onnx/requirements.txt
	$(BUILD)/onnx/bin/python tests/onnx/conformance
	$(BUILD)/onnx/bin/python tests/onnx/export
# The recipes of docs/new-operator.md on a copy of the tree; PyTorch says what the new operators are.
recipes: PACKAGES += python3-torch python3-torchvision
recipes: deps
	tests/run recipes
# The tests once more with clang's address and undefined-behaviour sanitizers: cai itself, and built programs, whose runtime has them too; the
# kernels of programs under CAI_GUARD. LeakSanitizer would report what LLVM keeps for its whole life.
sanitize: deps
	$(MAKE) -j$$(nproc) all
	$(MAKE) -j$$(nproc) $(SANITIZED) all build/sanitize/unit_tests
	mkdir -p build/sanitize/home && ln -sfn $(CURDIR)/stdlib build/sanitize/home/stdlib && ln -sfn $(CURDIR)/build/sanitize/runtime build/sanitize/home/runtime
	export BUILD=build/sanitize CC="clang-19 -fsanitize=address,undefined -fno-sanitize-recover=all" CAI_HOME=$(CURDIR)/build/sanitize/home; \
	export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1; \
	tests/run $(or $(STAGES),unit golden docs library library_form programs) $(if $(STAGES),,&& CAI_GUARD=1 tests/run numerics)
# The thread pool of programs and the compiler's loops by all cores, of which the reference evaluator
# is made, under the thread sanitizer.
RACES = $(addprefix tests/unit/,main.c thread.c run.c data.c parallel.c reference_threads.c random_graph_support.c)
races: deps $(BUILD)/grammar/cai.tab.h
	@mkdir -p build/races
	clang-19 $(filter-out -MMD -MP,$(CINCLUDE)) -Itests/unit -O1 -fsanitize=thread $(RACES) $(wildcard compiler/base/*.c compiler/graph/*.c) \
	  $(filter-out %/start.c runtime/library/% runtime/python/%,$(RUNTIME)) -o build/races/tests -lcunit -ljson-c -lexpat $(CODECS:%=-l:lib%.a) -lm
	build/races/tests
# Each target of tests/fuzz for FUZZ_SECONDS; corpora stay in build/fuzz, findings too.
fuzz: deps
	$(MAKE) -j$$(nproc) $(SANITIZED) build/sanitize/fuzz
	FUZZ_SEED=0 tests/fuzz/run $(or $(FUZZ_SECONDS),60) $(FUZZ)
# Writes what the golden tests print into their blocks; `git diff` then shows what changed.
bless: all
	tests/golden/run --bless
# All C by both compilers; each header by itself, so that it includes what it needs; its layout, and its names; and the root, where tests have left files.
LINTED  = $(COMPILER) $(RUNTIME) $(UNIT) $(wildcard tests/kernels/*.c tests/fuzz/*.c)
HEADERS = $(wildcard compiler/*/*.h compiler/*/*/*.h runtime/*.h runtime/*/*.h tests/unit/*.h tests/kernels/*.h tests/fuzz/*.h)
FORMATTED = $(sort $(COMPILER) $(RUNTIME) $(HEADERS) $(wildcard tests/*/*.[ch] tests/*/*/*.[ch] compiler/*/*.def runtime/*/*.def) grammar/cai.l grammar/cai.y)
# Lays out all C (tests/lint/columns says how), which lint checks.
format-c:
	tests/lint/columns --write $(FORMATTED)
lint: $(BUILD)/grammar/cai.tab.h $(OBJECTS)
	@for cc in gcc clang-19; do $$cc $(filter-out -MMD -MP,$(CINCLUDE)) $(PYTHON) -Werror -fsyntax-only $(LINTED) -Itests/unit && \
	  $$cc $(filter-out -MMD -MP,$(CINCLUDE)) $(PYTHON) -Werror -Wno-unused-function -fsyntax-only -Itests/unit -x c $(HEADERS) || exit 1; done
	@tests/lint/columns $(FORMATTED)
	@[ -z "$$(git ls-files 2> /dev/null | grep -vE '/|^(\.clang-format|\.gitattributes|\.gitignore|Makefile|README\.md)$$')" ] || { echo "the root has files that belong elsewhere"; exit 1; }
	@tests/lint/names $(filter compiler/% runtime/%,$(COMPILER) $(RUNTIME) $(HEADERS))
	@! nm -A $(filter-out $(BUILD)/compiler/draw/%,$(OBJECTS)) | grep -E ' U (exp|exp2|expm1|log|log2|log10|log1p|sin|cos|tan|atan2?|sinh|cosh|tanh|erfc?|pow|cbrt|hypot|tgamma|lgamma)f?l?$$'
demo: deps
	$(MAKE) -j$$(nproc) all
	examples/demo

# Trains a classifier of clothes, builds it and runs it: two minutes.
learn: PACKAGES += dataset-fashion-mnist
learn: deps
	$(MAKE) -j$$(nproc) all
	examples/learn

install: all
	install -D $(BUILD)/cai $(DESTDIR)$(PREFIX)/bin/cai
	install -d $(DESTDIR)$(PREFIX)/lib/cai/stdlib $(DESTDIR)$(PREFIX)/lib/cai/runtime/$(ARCH)
	cp -R stdlib/. $(DESTDIR)$(PREFIX)/lib/cai/stdlib
	install -m 644 $(BUILD)/runtime/cai.h $(DESTDIR)$(PREFIX)/lib/cai/runtime
	install -m 644 $(RUNTIME_OF)/libcai_runtime.a $(RUNTIME_OF)/link.txt $(DESTDIR)$(PREFIX)/lib/cai/runtime/$(ARCH)
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	$(BUILD)/cai --man > $(DESTDIR)$(PREFIX)/share/man/man1/cai.1
	$(BUILD)/cai --completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/cai
	$(BUILD)/cai --completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_cai

docs: $(BUILD)/cai
	$(BUILD)/cai --operators > docs/operators.md
	$(BUILD)/cai --errors > docs/errors.md
	$(BUILD)/cai doc --format=markdown > docs/stdlib.md
	sed -i '/^| operator |/,$$d' docs/onnx.md && $(BUILD)/cai --onnx-operators >> docs/onnx.md

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
