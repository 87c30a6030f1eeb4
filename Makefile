# Each target is a thin line over `python -m tools ...`, which also works where there is no make.
PYTHON ?= python3
SCALE ?= small

.PHONY: first book test slow lab drift bench lock clean

first:  ; $(PYTHON) -m tools first
book:   ; $(PYTHON) -m tools book --scale $(SCALE)
test:   ; $(PYTHON) -m tools test
lab:    ; $(PYTHON) -m tools lab
slow:   ; $(PYTHON) -m tools slow
drift:  ; $(PYTHON) -m tools drift
bench:  ; $(PYTHON) -m tools bench
lock:   ; $(PYTHON) -m tools lock
clean:  ; rm -rf _build .venv
