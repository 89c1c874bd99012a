# SandLabX: `make up` shows it, `make test` tests it.
.DEFAULT_GOAL := help
.PHONY: help up down clean build generate test test-unit test-integration test-e2e test-faults bench cli

help: ## What can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

up: ## A cluster, the operator, and a guest at its login prompt (CLUSTER=local, or CLUSTER=kubeconfig for yours)
	@eng/up

down: ## Stop what `make up` started; etcd's data and the volumes stay
	@eng/down

clean: ## Remove all traces of it but the cache of builds
	@eng/down --clean

build: ## Compile everything
	@dotnet build SandLabX.slnx --nologo -v quiet

cli: ## kubectl-sandlabx as one file, in artifacts/cli
	@eng/cli

generate: ## CRDs, RBAC rules and docs/API.md, from the types
	@dotnet run --project eng/Generate -- "$(CURDIR)"

test: ## All tests; what they need is set up
	@eng/test

test-unit: ## Unit tests alone
	@eng/test unit

test-integration: ## Tests against a real API server and real QEMU alone
	@eng/test integration

test-e2e: ## Tests with real pods and guests alone
	@eng/test e2e

test-faults: ## Faults at random moments under load, FAULT_ROUNDS (40) rounds of five, and an API server away for ten minutes; docs/RELIABILITY.md
	@eng/test faults

bench: ## The figures of docs/BENCHMARKS.md
	@eng/bench/bench
