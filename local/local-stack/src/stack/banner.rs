//! The text that is printed when everything runs.

use airbyte_sim::Generation;

use super::secrets_manager::SECRET_NAME;
use super::settings::{Settings, local_url};

/// The origin of the project's example events: the demo page's, at its default port.
const EVENTS_ORIGIN: &str = "http://localhost:5173";

/// The simulator's source template with the fewest required fields, which both generations have.
const TEMPLATE: &str = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e02";

pub(super) fn text(
    settings: &Settings,
    generation: Generation,
    secrets_manager_url: &str,
) -> String {
    let ports = settings.ports;
    let [api, issuer, airbyte, demo] =
        [ports.gateway, ports.issuer, ports.airbyte, ports.demo].map(local_url);
    let bearer = format!("-H \"authorization: Bearer $(curl -sS '{issuer}/token?sub=alice')\"");
    let invoke = match ports.invoke {
        9000 => String::new(),
        port => format!(" --invoke-port {port}"),
    };
    let note = if settings.allows_demo_page() {
        String::new()
    } else {
        format!("\n  {demo} is not in ALLOWED_ORIGINS: the API rejects the demo page.\n")
    };
    let events_note = if settings.allows(EVENTS_ORIGIN) {
        String::new()
    } else {
        format!(
            "\n\n  The origin of the events, {EVENTS_ORIGIN}, is not in ALLOWED_ORIGINS: the functions reject them."
        )
    };
    format!(
        "
Everything runs. Open the demo page:

  {demo}

  API       {api}   POST /token, POST /sources
  Issuer    {issuer}   GET /token?sub=NAME signs anyone in
  Airbyte   {airbyte}   a simulator, called with AIRBYTE_API={generation}; GET /_sim/requests lists the requests
  Secrets   {secrets_manager_url}   Secrets Manager, with the secret {SECRET_NAME}, and DynamoDB, with the state table
{note}
A token for alice:

  curl -sSw '\\n' -X POST {api}/token {bearer}

A source in her workspace:

  curl -sSw '\\n' {api}/sources -H 'content-type: application/json' {bearer} -d '{{\"source_config_template_id\": \"{TEMPLATE}\", \"connection_configuration\": {{\"count\": 10}}}}'

Replace alice to sign in as another user. A function alone, with an event:

  .venv/dev/bin/cargo-lambda lambda invoke mint-token{invoke} --data-file events/mint-token-jwt.json{events_note}

Ctrl-C stops everything.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(variables: &[(&str, &str)]) -> String {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let settings = Settings::from_lookup(find).unwrap();
        text(&settings, Generation::Agents, "http://secrets")
    }

    #[test]
    fn warns_of_rejected_origins_only() {
        let warning = "is not in ALLOWED_ORIGINS";
        assert!(!shown(&[]).contains(warning));

        let moved = shown(&[("DEMO_PORT", "8080")]);
        assert!(!moved.contains("http://localhost:8080 is not in ALLOWED_ORIGINS"));
        assert!(moved.contains(
            "The origin of the events, http://localhost:5173, is not in ALLOWED_ORIGINS"
        ));

        let chosen = shown(&[("ALLOWED_ORIGINS", "https://a.example")]);
        assert!(chosen.contains("http://localhost:5173 is not in ALLOWED_ORIGINS"));
        assert_eq!(chosen.matches(warning).count(), 2);
    }

    #[test]
    fn prints_commands_with_configured_ports() {
        let shown = shown(&[
            ("GATEWAY_PORT", "4000"),
            ("ISSUER_PORT", "4001"),
            ("INVOKE_PORT", "4009"),
        ]);
        for part in [
            "curl -sSw '\\n' -X POST http://localhost:4000/token ",
            "curl -sSw '\\n' http://localhost:4000/sources ",
            "$(curl -sS 'http://localhost:4001/token?sub=alice')",
            "lambda invoke mint-token --invoke-port 4009 --data-file events/mint-token-jwt.json",
            "called with AIRBYTE_API=agents;",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
}
