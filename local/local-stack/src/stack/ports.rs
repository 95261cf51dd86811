//! Whether the stack's ports are free: found out before anything is started.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use super::settings::Ports;

/// Why the ports cannot be had: a line for each that cannot.
pub(super) fn check(ports: Ports) -> Result<(), String> {
    let named = ports.named();
    let mut problems = Vec::new();
    for (index, (port, part, variable)) in named.iter().enumerate() {
        if let Some((_, other, _)) = named[..index].iter().find(|(taken, _, _)| taken == port) {
            problems.push(format!(
                "port {port} was chosen for {other} and for {part}: set {variable}"
            ));
        } else if let Err(problem) = bind(*port) {
            problems.push(format!(
                "port {port}, for {part}, {problem}; set another with {variable}"
            ));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

/// Tries both addresses that `localhost` stands for: a browser takes the one that answers first.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Ports that were free a moment ago, and all different.
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
    fn free_ports_are_fine_and_stay_free() {
        let ports = free();
        assert_eq!(check(ports), Ok(()));
        assert_eq!(check(ports), Ok(()));
    }

    #[test]
    fn every_port_in_use_is_said_with_its_variable() {
        let taken: [TcpListener; 2] =
            std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [one, two] = [0, 1].map(|index| taken[index].local_addr().unwrap().port());
        let problem = check(Ports {
            gateway: one,
            demo: two,
            ..free()
        })
        .unwrap_err();
        assert_eq!(
            problem,
            format!(
                "port {one}, for the gateway, is in use; set another with GATEWAY_PORT\n\
                 port {two}, for the demo page, is in use; set another with DEMO_PORT"
            )
        );
    }

    #[test]
    fn one_port_for_two_parts_is_a_clash() {
        let ports = free();
        let port = ports.gateway;
        let problem = check(Ports {
            airbyte: port,
            ..ports
        })
        .unwrap_err();
        let expected = format!(
            "port {port} was chosen for the gateway and for the Airbyte simulator: set AIRBYTE_PORT"
        );
        assert_eq!(problem, expected);
    }
}
