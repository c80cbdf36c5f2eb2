# make help lists what there is to make.
GOFUMPT     = go run mvdan.cc/gofumpt@v0.12.0
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
# A number of runs: with a time, the go command may call its own end a failure
# ("context deadline exceeded").
FUZZTIME   ?= 20000x
BENCHTIME  ?= 1s

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: test
test: ## all tests
	go test ./...

.PHONY: race
race: ## all tests under the race detector
	go test -race ./...

# Modules of their own, each for what is large and only they need.
MODULES = dnsd/cluster otelrollcall testenv/console bench/call bench/cluster bench/etcd bench/push
# Its dependencies are so many that staticcheck needs a minute and a half for them.
LARGE = bench/pick

.PHONY: lint
lint: ## vet, gofumpt, staticcheck
	go vet ./...
	for m in $(MODULES) $(LARGE); do (cd $$m && go vet ./...) || exit 1; done
	@files=$$($(GOFUMPT) -l .); if [ -n "$$files" ]; then echo "gofumpt wants to change: $$files"; exit 1; fi
	$(STATICCHECK) ./...
	for m in $(MODULES); do (cd $$m && $(STATICCHECK) ./...) || exit 1; done

# The module of the full dnsd, with etcd in it.
.PHONY: cluster
cluster: ## the tests of dnsd/cluster under the race detector
	cd dnsd/cluster && go test -race $$(go list ./... | grep -v /machines)

# All of it takes two minutes.
MACHINES ?= .

.PHONY: machines
machines: ## real dnsd and etcd on machines that fail (MACHINES=.): network namespaces, so as root
	cd dnsd/cluster && ROLLCALL_PEERS=1 go test -count=1 -v -run '$(MACHINES)' ./machines

# Servers run on all of these; clients on 32 bits as well.
CLIENTS = ./resolver ./balancer ./rpcclient ./rpcclient/internal/conn ./rpcserver ./register ./internal/gobvalue ./internal/rpcwire ./internal/dso

.PHONY: cross
cross: ## build and vet for other systems and processors; the wire is tested on 32 bits where Linux runs it
	for os in darwin windows; do GOOS=$$os go build ./... && GOOS=$$os go vet ./... || exit 1; done
	for arch in 386 arm; do GOOS=linux GOARCH=$$arch go build $(CLIENTS) && GOOS=linux GOARCH=$$arch go vet $(CLIENTS) || exit 1; done
	if [ "$$(go env GOHOSTOS)/$$(go env GOHOSTARCH)" = linux/amd64 ]; then GOARCH=386 go test ./internal/gobvalue ./internal/rpcwire ./rpcclient/internal/conn; fi

# That of the go directive: what it cannot build is not used.
OLDEST = go$(shell sed -n 's/^go //p' go.mod)

.PHONY: oldest
oldest: ## vet with the oldest Go, and test what goes into other programs
	GOTOOLCHAIN=$(OLDEST) go vet ./...
	GOTOOLCHAIN=$(OLDEST) go test ./resolver ./balancer ./register ./rpcserver/shed

.PHONY: dist
dist: ## packages and archives of dnsd in dist, for all systems (TARGETS=linux/amd64: for one)
	rm -rf dist && packaging/dist dist $(TARGETS)

.PHONY: fuzz
fuzz: ## every fuzz target, FUZZTIME runs each (20000x; a time such as 1m works too)
	@go list -f '{{.Dir}} {{join .TestGoFiles " "}} {{join .XTestGoFiles " "}}' ./... | while read dir files; do \
	  for f in $$files; do sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir/$$f; done | while read target; do \
	    echo "== $$dir $$target"; (cd $$dir && go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x .) || exit 1; \
	  done || exit 1; \
	done

.PHONY: bench
bench: ## every benchmark for benchstat (BENCHTIME=1s), and a call beside net/rpc and grpc-go
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...
	cd bench/call && go test -run '^$$' -bench Ratio -benchtime 41x .

.PHONY: bench-peers
bench-peers: ## side by side with other programs and libraries, as far as they are installed
	go run ./bench/dns
	cd bench/etcd && go run .
	cd bench/cluster && go run .
	cd bench/push && go run .
	cd bench/pick && go test -run '^$$' -bench . -benchtime $(BENCHTIME) .
	cd bench/call && go test -run '^$$' -bench . -benchtime $(BENCHTIME) .

.PHONY: bench-smoke
bench-smoke: ## a moment of each of them, to see that it works
	go run ./bench/dns -services 20 -rounds 1 -for 200ms
	cd bench/etcd && go run . -rounds 1 -time 300ms
	cd bench/push && go run . -cycles 3 -clients 200 -changes 4 -others 20 -down 100ms
	cd bench/pick && go test -bench . -benchtime 10x .
	cd bench/call && go test .

.PHONY: demo
demo: ## the whole, live, for 30 seconds
	go run ./testenv/demo
