import { createClient } from "airbyte-embedded-web";
import { useAirbyteEmbedded } from "airbyte-embedded-web/react.js";
import { StrictMode, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";

function ConnectSource({ apiUrl, getAccessToken }) {
  const client = useMemo(() => createClient({ apiUrl, getAccessToken }), [apiUrl, getAccessToken]);
  const [sources, setSources] = useState([]);
  const { open, status, error } = useAirbyteEmbedded({
    client,
    onEvent: (event) => event.type === "source_created" && setSources((before) => [...before, event.sourceId]),
  });
  return (
    <>
      <button id="open-widget" onClick={open} aria-busy={status === "opening"}>Connect a source</button>
      {error && <p role="alert">{error.action === "sign-in" ? "Your session has ended: sign in again." : error.message}</p>}
      <ul aria-label="Connected sources">{sources.map((id) => <li key={id}>{id}</li>)}</ul>
    </>
  );
}

// In your app, your OIDC library signs the user in and returns their access token.
function App({ apiUrl, issuerUrl }) {
  const [getAccessToken, setGetAccessToken] = useState();
  const signIn = async (form) => {
    const response = await fetch(`${issuerUrl}/token?sub=${encodeURIComponent(form.get("user"))}`);
    const accessToken = await response.text();
    setGetAccessToken(() => () => accessToken);
  };
  return (
    <>
      <h1>Connect your data</h1>
      {getAccessToken ? (
        <>
          <button id="sign-out" onClick={() => setGetAccessToken()}>Sign out</button>
          <ConnectSource apiUrl={apiUrl} getAccessToken={getAccessToken} />
        </>
      ) : (
        <form action={signIn}>
          <label>User name <input id="user-name" name="user" defaultValue="alice" required /></label> <button>Sign in</button>
        </form>
      )}
    </>
  );
}

const config = await (await fetch("config.json")).json();
createRoot(document.getElementById("root")).render(<StrictMode><App {...config} /></StrictMode>);
