.PHONY: install container-check upgrade-check book install-check watch-check docs-pages attack failover proxy-check browser-check demo test bench bench-short bench-console bench-fair bench-triage figures dist faults situations queue-cases ledger storm vendor-check client-check ci fmt lint sqlx doc

demo: ; ./run-demo
test: ; ./run-tests
bench-console: ; scripts/bench console
queue-cases: ; LEADLINE_QUEUE_CASES=10000 SQLX_OFFLINE=true cargo test --locked --workspace --test store queue:: -- --nocapture
situations: ; SQLX_OFFLINE=true cargo test --quiet --locked --workspace --test e2e situations:: -- --nocapture
faults: ; SQLX_OFFLINE=true cargo test --quiet --locked --workspace --test faults -- --nocapture --test-threads=1
attack: ; scripts/attack
failover: ; scripts/install-missing --programs pgbouncer && LEADLINE_POOLER_REQUIRED=1 SQLX_OFFLINE=true cargo test --quiet --locked --workspace --test faults -- failover:: --nocapture --test-threads=1
storm: ; LEADLINE_STORM_LEADS=1000 SQLX_OFFLINE=true cargo test --locked --workspace --test e2e a_storm:: -- --nocapture
ledger: ; LEADLINE_LEDGER_LEADS=10000 SQLX_OFFLINE=true cargo test --locked --workspace --test e2e ledger:: -- --nocapture
browser-check: ; LEADLINE_BROWSER_REQUIRED=1 SQLX_OFFLINE=true cargo test --locked --workspace --test e2e browser:: -- --nocapture
vendor-check: ; scripts/vendor-check $(SPECIFICATIONS)
client-check: ; scripts/client-check
book: ; scripts/book
install: ; scripts/install
install-check: ; scripts/install-check
container-check: ; scripts/container-check
upgrade-check: ; scripts/upgrade-check
watch-check: ; scripts/watch-check
docs-pages: ; LEADLINE_WRITE_DOCS=1 SQLX_OFFLINE=true cargo test --quiet --locked --workspace --test docs --lib the_page
proxy-check: ; scripts/proxy-check
ci: ; .ci/run
dist: ; scripts/dist
fmt: ; cargo fmt --all
lint: ; SQLX_OFFLINE=true cargo clippy --workspace --all-targets -- -D warnings
sqlx: ; scripts/sqlx
doc: ; SQLX_OFFLINE=true cargo doc --workspace --no-deps
bench: ; COMPARE=$(COMPARE) scripts/bench
bench-fair: ; scripts/bench fair hung snapshot
bench-triage: ; scripts/bench triage --rows 1000000
figures: ; COMPARE=$(COMPARE) scripts/bench figures
bench-short: ; SQLX_OFFLINE=true cargo test --locked --quiet --workspace --bench leadline -- --short
