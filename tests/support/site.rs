//! The demo page with everything behind it, each part on its own origin.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use airbyte_sim::{Airbyte, Options};
use axum::Router;
use axum::http::header;
use axum::routing::get;
use local_stack::demo::{Demo, PageConfig};
use local_stack::gateway::{self, Gateway};
use local_stack::issuer::{self, Issuer};
use template::Template;

use crate::binary::repository;
use crate::invoke_api::InvokeApi;
use crate::{Binary, Config, Function, Generation, Secret, StateTable, TestEnv};

/// Three copies of the demo page and the React example, on origins that the API allows but for one; and the API, which is
/// the local gateway with the real functions behind it, both configured by the template.
pub struct Site {
    /// The simulator that the functions call, and that serves the page inside the widget.
    pub airbyte: Airbyte,
    /// The pages' URLs, which are their origins.
    origins: [String; 4],
    _pages: [Demo; 4],
    _issuer: Issuer,
    _gateway: Gateway,
    _functions: InvokeApi,
    _state_table: StateTable,
}

impl Site {
    /// A site with the simulator's default settings.
    pub async fn start() -> Site {
        Site::with(Options::default()).await
    }

    /// The same with other settings of the simulator.
    pub async fn with(options: Options) -> Site {
        Site::for_generation_with(Generation::Embedded, options).await
    }

    /// A site whose functions use this generation of Airbyte's API.
    pub async fn for_generation(generation: Generation) -> Site {
        Site::for_generation_with(generation, Options::default()).await
    }

    /// The same with other settings of the simulator.
    pub async fn for_generation_with(generation: Generation, options: Options) -> Site {
        Site::build(generation, options, None).await
    }

    /// A site whose demo page uses Airbyte's widget script, from a server of its own.
    pub async fn with_vendor_script(generation: Generation) -> Site {
        let script = vendor_script().await;
        Site::build(generation, Options::default(), Some(script)).await
    }

    async fn build(
        generation: Generation,
        options: Options,
        widget_script_url: Option<String>,
    ) -> Site {
        let secret = Secret::create("dev-organization-token").await;
        let secret_arn = secret.arn().await;
        let env = TestEnv::with(options, secret).await;
        let issuer = Issuer::start(any_port()).await.expect("a free port");
        let pages = [
            page("examples/web").await,
            page("examples/web").await,
            page("examples/react/dist").await,
            page("examples/web").await,
        ];
        let origins = pages.each_ref().map(Demo::url);
        let generation = match generation {
            Generation::Embedded => airbyte_sim::Generation::Embedded,
            Generation::Agents => airbyte_sim::Generation::Agents,
        };

        let template = template([
            ("AllowedOrigins", origins[..3].join(",")),
            ("JwtIssuer", issuer.url().to_owned()),
            ("JwtAudience", issuer::DEFAULT_AUDIENCE.to_owned()),
            ("AirbyteOrganizationId", Config::ORGANIZATION_ID.to_owned()),
            ("AirbyteApi", generation.to_string()),
            ("AirbyteApiUrl", env.airbyte.url()),
            ("OrganizationTokenSecretArn", secret_arn),
        ]);
        let table = StateTable::create().await;
        let functions = tokio::join!(
            function(Binary::MintToken, &template, &env, &table),
            function(Binary::CreateSource, &template, &env, &table),
        );
        let functions = InvokeApi::start(functions.into()).await;
        let endpoint = |binary: Binary| (binary.name().to_owned(), functions.url(binary));
        let gateway = Gateway::start(gateway::Options {
            address: any_port(),
            template,
            functions: Binary::ALL.map(endpoint).into(),
            console: Arc::new(print),
        });
        let gateway = gateway.await.expect("a free port");

        let config = PageConfig {
            api_url: gateway.url(),
            issuer_url: issuer.url().to_owned(),
            airbyte_url: env.airbyte.url(),
            idempotency_keys: true,
            widget_script_url,
            widget_script_integrity: None,
            templates: env.airbyte.source_templates(generation),
        };
        for page in &pages {
            page.configure(config.clone()).expect("URLs");
        }
        Site {
            airbyte: env.airbyte,
            origins,
            _pages: pages,
            _issuer: issuer,
            _gateway: gateway,
            _functions: functions,
            _state_table: table,
        }
    }

    /// The demo page on the first allowed origin: its URL, which is the origin.
    #[must_use]
    pub fn page(&self) -> &str {
        &self.origins[0]
    }

    /// The demo page on the second allowed origin.
    #[must_use]
    pub fn other_page(&self) -> &str {
        &self.origins[1]
    }

    /// The React example, once it is built.
    #[must_use]
    pub fn react_page(&self) -> &str {
        &self.origins[2]
    }

    /// The demo page on an origin that is not allowed.
    #[must_use]
    pub fn outside_page(&self) -> &str {
        &self.origins[3]
    }
}

async fn page(folder: &str) -> Demo {
    let client = repository().join("clients/web");
    Demo::start(any_port(), &repository().join(folder), &client)
        .await
        .expect("a free port")
}

/// Serves a script with the interface of Airbyte's, as a CDN does; returns its URL.
async fn vendor_script() -> String {
    const PATH: &str = "/widget@1.0.0/widget.js";
    let script = async || {
        let headers = [
            (header::CONTENT_TYPE, "text/javascript"),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        ];
        (headers, include_str!("../e2e/browser/vendor-script.js"))
    };
    let listener = tokio::net::TcpListener::bind(any_port())
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    // It ends with the test's runtime.
    tokio::spawn(
        async move { axum::serve(listener, Router::new().route(PATH, get(script))).await },
    );
    format!("http://{address}{PATH}")
}

/// The repository's template under these parameters.
fn template<const N: usize>(parameters: [(&str, String); N]) -> Template {
    let parameters: BTreeMap<_, _> = parameters
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    Template::load(repository(), "us-east-1", parameters).unwrap_or_else(|error| panic!("{error}"))
}

/// Starts a function with the environment of the template.
async fn function(
    binary: Binary,
    template: &Template,
    env: &TestEnv,
    table: &StateTable,
) -> (Binary, Function) {
    let mut config = Config::bare().with(
        "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        &env.secrets_manager.url(),
    );
    for (name, value) in &template.functions[binary.name()].environment {
        config = config.with(name, value);
    }
    // The template's name of the table is known only in AWS.
    let config = table.configure(&config);
    (binary, Function::start(binary, &config).await)
}

/// Shows the gateway's messages next to the test that fails because of them.
#[expect(
    clippy::print_stderr,
    reason = "the test runner shows it for a failing test"
)]
fn print(line: &str) {
    eprintln!("gateway: {line}");
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
