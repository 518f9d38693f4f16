# make demo   score a clip made here and draw its timeline: the first thing to try
# make test   every test         make lint   formats, lint, types, dependency law
# make wheel  dist/*.whl         make clean  forget .venv, build and dist

PYTHON ?= python3
VENV ?= .venv

# The torch that training and export are tested with. On a machine without a GPU the CPU build
# saves gigabytes:
#   make test TORCH="torch==2.13.0 --extra-index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

# TensorRT's Python API of JetPack 6 and of the last 10.x: its tests read the names out of them.
OLD_BINDINGS := 10.3.0 10.16.1.11

# CUDA 12.6, as far as PyPI has it (JetPack 6's): its tests compile every kernel with it.
CUDA_12_6 := nvidia-cuda-nvrtc-cu12 nvidia-cuda-nvcc-cu12 nvidia-cuda-runtime-cu12

# Python sources are used where they lie; a change of these needs the module built again.
NATIVE := pyproject.toml CMakeLists.txt $(wildcard cmake/*.cmake cpp/CMakeLists.txt \
	cpp/include/framescore/*.h cpp/src/*.h cpp/src/*.cpp cpp/bindings/*.cpp kernels/CMakeLists.txt)
CXX_SOURCES := $(wildcard cpp/include/framescore/*.h cpp/src/*.h cpp/src/*.cpp cpp/bindings/*.cpp \
	kernels/include/framescore/kernels/*.h kernels/*/*.cu kernels/*/*.cuh kernels/*/*.h \
	tests/kernels/*.cpp tests/kernels/emulation/*.cpp tests/kernels/emulation/*.h)
PIP_INSTALL := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint wheel clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-demo
	$(VENV)/bin/framescore demo

test: $(VENV)/.installed-test
	$(VENV)/bin/pytest --numprocesses auto --dist loadfile

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/clang-format --dry-run -Werror $(CXX_SOURCES)
	$(VENV)/bin/lint-imports

wheel: $(VENV)/bin/python
	$(VENV)/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist

$(VENV)/.installed-demo: $(NATIVE) | $(VENV)/bin/python
	$(PIP_INSTALL) --editable '.[report]'
	touch $@

$(VENV)/.installed-test: $(NATIVE) | $(VENV)/bin/python
	$(PIP_INSTALL) --editable '.[test,export,train,report,onnxruntime]' $(TORCH)
	@for version in $(OLD_BINDINGS); do \
	  $(VENV)/bin/python -m pip download --quiet --disable-pip-version-check --no-deps \
	    --dest build/bindings tensorrt-cu12-bindings==$$version || \
	    echo "note: tests of TensorRT $$version's API will be skipped"; done
	@$(MAKE) --no-print-directory build/cuda-12.6 || \
	  echo "note: tests of CUDA 12.6 will be skipped"
	touch $@ $(VENV)/.installed-demo

build/cuda-12.6: | $(VENV)/bin/python
	$(PIP_INSTALL) --no-deps --target $@ $(CUDA_12_6:=~=12.6.0)

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: '$(PYTHON)' was not found; Python 3.10 or newer is needed." >&2; \
	  echo "Install it (Debian, Ubuntu: apt install python3), or: make PYTHON=/path/to/python" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "error: $$($(PYTHON) --version) is too old; Python 3.10 or newer is needed." >&2; \
	  echo "Name another one with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) cannot create virtual environments." >&2; \
	  echo "Install the missing part (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@$(PYTHON) -c 'import pathlib, sys, sysconfig; \
	  sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || { \
	  echo "error: Python.h was not found; the native module needs it." >&2; \
	  echo "Install it (Debian, Ubuntu: apt install python3-dev)." >&2; exit 1; }
	@command -v "$${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { \
	  echo "error: no C++ compiler was found; the native module needs one with C++20." >&2; \
	  echo "Install one (Debian, Ubuntu: apt install g++), or name it with CXX=." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
