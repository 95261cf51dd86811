//! Check of the stack's ports before anything is started.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use super::error::StackError;
use super::settings::Ports;

/// Checks that every port is free, and that `localhost` leads to them. Returns an error for each that is not.
pub(super) fn check(ports: Ports) -> Result<(), StackError> {
    let named = ports.named();
    let mut errors = Vec::new();
    for (index, (port, part, variable)) in named.iter().enumerate() {
        if let Some((_, other, _)) = named[..index].iter().find(|(taken, _, _)| taken == port) {
            errors.push(StackError::new(
                format!("port {port} is set for {other} and for {part}"),
                format!("set {variable} to another port"),
            ));
        } else if let Err(problem) = bind(*port) {
            errors.push(StackError::new(
                format!("port {port}, for {part}, {problem}"),
                format!("set {variable} to another port"),
            ));
        }
    }
    let addresses: Vec<_> = ("localhost", 0)
        .to_socket_addrs()
        .map(|addresses| addresses.map(|address| address.ip()).collect())
        .unwrap_or_default();
    errors.extend(check_localhost(&addresses).err());
    match StackError::all(errors) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Checks the addresses of `localhost`: the stack listens on 127.0.0.1, and its URLs have the name.
fn check_localhost(addresses: &[IpAddr]) -> Result<(), StackError> {
    if addresses.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)) {
        return Ok(());
    }
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let found = match addresses.as_slice() {
        [] => "no address".to_owned(),
        addresses => addresses.join(", "),
    };
    Err(StackError::new(
        format!("localhost resolves to {found}, not to 127.0.0.1"),
        "add the line `127.0.0.1 localhost` to /etc/hosts",
    ))
}

/// Tries both addresses of `localhost`, because a browser connects to either.
fn bind(port: u16) -> Result<(), String> {
    for address in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ] {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                return Err("is in use".to_owned());
            }
            // There may be no IPv6.
            Err(error) if address.is_ipv4() => return Err(format!("cannot be used ({error})")),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the loopback address at which `cargo lambda invoke` expects Lambda's Invoke API: IPv6, if there is any.
pub(super) fn invoke_address(port: u16) -> SocketAddr {
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Different ports that were free a moment ago.
    fn free() -> Ports {
        let listeners: [TcpListener; 5] =
            std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [gateway, issuer, airbyte, demo, invoke] =
            listeners.map(|listener| listener.local_addr().unwrap().port());
        Ports {
            gateway,
            issuer,
            airbyte,
            demo,
            invoke,
        }
    }

    #[test]
    fn accepts_free_ports_and_leaves_them_free() {
        let ports = free();
        assert_eq!(check(ports), Ok(()));
        assert_eq!(check(ports), Ok(()));
    }

    #[test]
    fn reports_every_port_in_use_with_its_variable() {
        let taken: [TcpListener; 2] =
            std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [one, two] = [0, 1].map(|index| taken[index].local_addr().unwrap().port());

        let error = check(Ports {
            gateway: one,
            demo: two,
            ..free()
        })
        .unwrap_err();

        assert_eq!(
            error.to_string(),
            format!(
                "error: port {one}, for the gateway, is in use\n\
                 help: set GATEWAY_PORT to another port\n\
                 error: port {two}, for the demo page, is in use\n\
                 help: set DEMO_PORT to another port"
            )
        );
    }

    #[test]
    fn rejects_one_port_for_two_parts() {
        let ports = free();
        let port = ports.gateway;

        let error = check(Ports {
            airbyte: port,
            ..ports
        })
        .unwrap_err();

        assert_eq!(
            error.to_string(),
            format!(
                "error: port {port} is set for the gateway and for the Airbyte simulator\n\
                 help: set AIRBYTE_PORT to another port"
            )
        );
    }

    #[test]
    fn requires_ipv4_localhost() {
        let ipv4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ipv6 = IpAddr::V6(Ipv6Addr::LOCALHOST);

        assert_eq!(check_localhost(&[ipv6, ipv4]), Ok(()));
        for (addresses, found) in [(&[ipv6][..], "::1"), (&[], "no address")] {
            assert_eq!(
                check_localhost(addresses).unwrap_err().to_string(),
                format!(
                    "error: localhost resolves to {found}, not to 127.0.0.1\n\
                     help: add the line `127.0.0.1 localhost` to /etc/hosts"
                )
            );
        }
    }
}
