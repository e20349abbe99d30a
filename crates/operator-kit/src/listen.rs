//! Listening on every address, IPv6 and IPv4, whatever the node's kernel has.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::{TcpListener, TcpSocket};
use tracing::info;

/// How much the system keeps for us. It counts as memory of our container.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// How many connections, until we accept them. When that many wait it drops others, whose clients try again only after
    /// a second.
    pub connections: u32,
    /// How many bytes of what a peer sends, and how many of what we send to it, for each connection. Left to itself it
    /// keeps megabytes for a peer that does not read.
    pub bytes: u32,
}

/// Listens on `address`. `[::]` takes IPv4, too; where the kernel has no IPv6, it is `0.0.0.0`.
///
/// # Errors
/// When neither can be bound.
pub fn listen(address: SocketAddr, kept: Kept) -> io::Result<TcpListener> {
    match bind(address, kept) {
        Ok(listener) => Ok(listener),
        Err(error) => match instead(address, error.kind()) {
            Some(instead) => {
                info!(%error, %address, %instead, "IPv6 cannot be listened on: only IPv4 is");
                bind(instead, kept)
            }
            None => Err(error),
        },
    }
}

fn bind(address: SocketAddr, kept: Kept) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    // A port whose connections have just ended can be bound at once.
    socket.set_reuseaddr(true)?;
    // The buffers of accepted connections are those of the listener.
    socket.set_send_buffer_size(kept.bytes)?;
    socket.set_recv_buffer_size(kept.bytes)?;
    socket.bind(address)?;
    socket.listen(kept.connections)
}

/// What is bound instead of an address that cannot be: an error of the port would be the same with IPv4.
fn instead(address: SocketAddr, error: ErrorKind) -> Option<SocketAddr> {
    let every = address.is_ipv6() && address.ip().is_unspecified();
    let of_the_port = matches!(error, ErrorKind::AddrInUse | ErrorKind::PermissionDenied);
    (every && !of_the_port).then(|| (Ipv4Addr::UNSPECIFIED, address.port()).into())
}

/// Whether the peer caused the error of an accept by leaving, so that the next connection is not affected.
pub(crate) fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[test]
    fn case_118_only_the_address_of_everything_has_another_one() {
        for (address, error, expected) in [
            ("[::]:8080", ErrorKind::AddrNotAvailable, Some("0.0.0.0:8080")),
            ("[::]:8080", ErrorKind::Other, Some("0.0.0.0:8080")),
            ("[::]:8080", ErrorKind::AddrInUse, None),
            ("[::]:80", ErrorKind::PermissionDenied, None),
            ("[::1]:8080", ErrorKind::AddrNotAvailable, None),
            ("0.0.0.0:8080", ErrorKind::AddrNotAvailable, None),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(instead(address.parse().unwrap(), error), expected, "{address}: {error}");
        }
    }

    #[tokio::test]
    async fn case_118_clients_of_ipv4_are_served_by_the_default_address() {
        let listener = listen("[::]:0".parse().unwrap(), Kept { connections: 16, bytes: 16 << 10 }).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    }
}
