use clap::CommandFactory;

use super::*;

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_documented_lines_parse() {
    for line in [
        "serve --config f --data-dir d --http 127.0.0.1:0 --listen 0.0.0.0:0 --advertise a:1 --advertise b:2",
        "token create --region eu --ttl 1h --json",
        "token create --api --ttl 30d",
        "sign-in --json",
        "vitals shop-vitals --from -7d --to now --profile mobile --region eu --agent eu-1 --by-agent --json",
        "apply a.toml b.toml --dry-run --prune",
        "agents",
        "agents --json",
        "agents revoke eu-1",
        "checks --watch",
        "sla",
        "sla shop --from -7d --to now --agent a --json",
        "sla --region eu",
        "sla --group web --from -7d --json",
        "sla --by-group",
        "explain shop --from -7d --region eu --json",
        "amendments",
        "amendments shop --from -30d --to now --limit 5 --after 1.2.3 --json",
        "backtest --check shop --quorum any --confirmations 3 --recoveries 2 --weight a=0.5 --weight b=0 --without c --from -7d --json",
        "latency shop --from -7d --to now --region eu --agent eu-1 --by agent --json",
        "channels --json",
        "test-channel ops-hook --json",
        "deliveries",
        "deliveries --channel ops-hook --limit 5 --json",
        "retry-delivery 20261122-4f7k2zq/1/ops-hook --json",
        "windows shop --from -7d --to 2027-01-01 --json",
        "incidents",
        "incidents --all --from -7d --to now --check shop --agent eu-1 --kind down --limit 5 --json",
        "incident 20261122-4f7k2 --verify --json",
        "incidents --summary --check shop --from -7d --json",
        "ack 20261122-4f7k2 --by ana --json",
        "resolve 20261122-4f7k2",
        "reopen 20261122-4f7k2",
        "comment 20261122-4f7k2 text",
        "assign 20261122-4f7k2 ana",
        "assign 20261122-4f7k2",
        "post-mortem 20261122-4f7k2 learned.md",
        "post-mortem 20261122-4f7k2",
        "open --title t --check shop --severity critical --json",
        "silence --check shop --group web --tag eu --agent eu-1 --from now --for 2h --reason r",
        "silence --everything --until 2027-01-01 --reason r",
        "findings",
        "findings 20261123-4f7k2zq --json",
        "findings --check shop --kind expiry --severity critical --all --limit 5 --json",
        "findings --stale",
        "finding ack 20261123-4f7k2zq --note known",
        "finding take-back 20261123-4f7k2zq --json",
        "silences --all --json",
        "unsilence s-4f7k2mq",
        "slo",
        "slo shop --history --json",
        "playbooks --json",
        "playbook show service-down",
        "playbook offers --incident 20261122-4f7k2 --json",
        "playbook run service-down --incident 20261122-4f7k2",
        "playbook run renew-certificate --check shop",
        "playbook runs --all --playbook service-down --check shop --limit 5 --json",
        "playbook status p-1",
        "playbook tick p-1 phase",
        "playbook skip p-1 undo --reason r",
        "playbook undo p-1 phase",
        "playbook note p-1 text",
        "playbook finish p-1",
        "playbook abandon p-1 --reason r",
        "playbook rates --from -30d",
        "slo --json",
        "impact --region eu-west --at -7d --json",
        "impact --group front --history --json",
        "impact shop --at -7d --evidence",
        "impact --model scoring.toml --days 7",
        "indicators",
        "indicators --period 7d --zone Europe/Paris --json",
        "indicators resolved --severity critical --period 24h",
        "windows",
        "status-pages --json",
        "comment 20261122-4f7k2 text --public",
        "sla shop --from -30d --policy contract@2 --json",
        "explain shop --policy contract",
        "policies",
        "policies --json",
        "report store november shop pay --from 2026-11-01 --to 2026-12-01 --policy contract",
        "report verify november --json",
        "report show november --json",
        "report list",
        "results shop --agent eu-1 --from -1h --to now --json",
        "export ledger.parquet",
        "export --check shop --format csv --from -7d --to now -",
        "import ledger.parquet",
        "import shop.csv --format csv --json",
        "jobs",
        "jobs --state failed --kind backup --limit 5 --json",
        "jobs list --json",
        "jobs show hncvd2o4ao --json",
        "jobs cancel hncvd2o4ao",
        "jobs retry hncvd2o4ao",
        "jobs priority hncvd2o4ao 900 --json",
        "jobs run backup --not-before 2027-01-01 --deadline 2027-01-02",
        "jobs run export --format parquet --from -30d --check shop",
        "jobs run run_checks --group web --tag eu --priority 900",
        "jobs run sla_report --name november --from 2026-11-01 --to 2026-12-01 --policy contract",
        "verify",
        "verify --data-dir d --json",
        "suspend --agent a --check c --for 2h --reason why",
        "resume --check c",
        "weight 0.5 --agent a",
        "run-now shop --agent a --json",
        "secret set shop.token --file f",
        "secret set shop.token",
        "secret list --json",
        "secret remove shop.token --force",
        "heartbeat url backup",
        "backup /b/f.db --with-seal-key --json",
        "restore /b/f.db --data-dir d",
        "history --url https://c.example --token t",
    ] {
        let args = std::iter::once("sitepulse-collector").chain(line.split(' '));
        assert!(Cli::try_parse_from(args).is_ok(), "{line}");
    }
}

#[test]
fn lines_that_make_no_sense_are_refused() {
    for line in [
        "token create",
        "token create --api --region eu",
        "apply",
        "sla --agent a --region b",
        "sla shop --group web",
        "sla --group web --by-group",
        "explain",
        "backtest shop",
        "latency shop --by phase",
        "suspend --agent a --for 1h --until now --reason x",
        "suspend --agent a",
        "weight 1",
        "run-now",
        "slo --history",
        "playbook",
        "playbook skip p-1 undo",
        "playbook run service-down --incident i --check c",
        "findings 20261123-4f7k2zq --all",
        "finding ack 20261123-4f7k2zq",
        "open",
        "ack",
        "silence --for 2h --reason r",
        "silence --check shop --reason r",
        "silence --check shop --for 2h",
        "silence --check shop --everything --for 2h --reason r",
        "silence --check shop --for 2h --until now --reason r",
        "jobs show",
        "jobs priority x",
        "jobs run",
        "secret set shop.token hunter2",
        "heartbeat url",
    ] {
        let args = std::iter::once("sitepulse-collector").chain(line.split(' '));
        assert!(Cli::try_parse_from(args).is_err(), "{line}");
    }
}

#[test]
fn every_command_has_examples_in_its_help() {
    fn walk(command: &clap::Command) {
        for sub in command.get_subcommands() {
            if sub.get_name() == "help" || sub.get_name() == "revoke" || sub.get_name() == "token" {
                walk(sub);
                continue;
            }
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{} has no example", sub.get_name());
            walk(sub);
        }
    }
    walk(&Cli::command());
}

/// The words of a line, as a shell reads those of built-in playbooks.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is one").push(c),
        }
    }
    words
}

#[test]
fn what_built_in_playbooks_say_about_this_program_is_understood() {
    use sitepulse_model::playbook::{fill, library};
    let mut lines = 0;
    for (book, step) in library::all().iter().flat_map(|book| book.steps.iter().map(move |step| (book, step))) {
        let Some(command) = &step.command else { continue };
        let (command, _) = fill::command(command, &fill::Names::default());
        for line in command.lines().filter(|line| line.starts_with("sitepulse-collector ")) {
            lines += 1;
            let parsed = Cli::try_parse_from(words(line));
            assert!(
                parsed.is_ok(),
                "{}/{}: {line}: {:?}",
                book.id,
                step.id,
                parsed.err().map(|error| error.to_string())
            );
        }
    }
    assert!(lines > 20, "{lines}");
}
