//! What is printed once everything runs.

use super::secrets_manager::SECRET_NAME;
use super::settings::{Settings, local_url};

/// The stand-in's template that asks for least.
const TEMPLATE: &str = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e02";

pub(super) fn text(settings: &Settings, secrets_manager_url: &str) -> String {
    let ports = settings.ports;
    let [api, issuer, airbyte, demo] =
        [ports.gateway, ports.issuer, ports.airbyte, ports.demo].map(local_url);
    let bearer = format!("-H \"authorization: Bearer $(curl -sS '{issuer}/token?sub=alice')\"");
    let invoke = match ports.invoke {
        9000 => String::new(),
        port => format!(" --invoke-port {port}"),
    };
    let note = if settings.allow_the_demo_page() {
        String::new()
    } else {
        format!("\n  {demo} is not in ALLOWED_ORIGINS: the API will refuse the demo page.\n")
    };
    format!(
        "
Everything runs. Open the demo page:

  {demo}

  API       {api}   POST /token, POST /sources
  Issuer    {issuer}   GET /token?sub=NAME signs anyone in
  Airbyte   {airbyte}   a stand-in; GET /_sim/journal shows what it was asked
  Secrets   {secrets_manager_url}   Secrets Manager, with the secret {SECRET_NAME}
{note}
A token for alice:

  curl -sSw '\\n' -X POST {api}/token {bearer}

A source in her workspace:

  curl -sSw '\\n' {api}/sources -H 'content-type: application/json' {bearer} -d '{{\"source_config_template_id\": \"{TEMPLATE}\", \"connection_configuration\": {{\"count\": 10}}}}'

Put another name for alice to be someone else. A function alone, with an event:

  .venv/dev/bin/cargo-lambda lambda invoke mint-token{invoke} --data-file events/mint-token-jwt.json

Ctrl-C ends everything.
"
    )
}
