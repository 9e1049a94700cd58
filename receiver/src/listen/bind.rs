//! Sockets for IPv6 and IPv4 alike: `[::]` takes both, and becomes `0.0.0.0` on a machine without IPv6.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A bound socket that does not block; `prepare` sets what must be set before it is bound.
pub fn bind(
    address: SocketAddr,
    kind: Type,
    prepare: impl Fn(&Socket) -> io::Result<()>,
) -> io::Result<Socket> {
    match bind_exactly(address, kind, &prepare) {
        Err(error) if address.ip() == IpAddr::from([0u16; 8]) && has_no_ipv6(&error) => {
            bind_exactly(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), kind, &prepare)
        }
        bound => bound,
    }
}

/// A listening TCP socket for requests.
pub fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = bind(address, Type::STREAM, |socket| socket.set_reuse_address(true))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_exactly(
    address: SocketAddr,
    kind: Type,
    prepare: &impl Fn(&Socket) -> io::Result<()>,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // Whatever net.ipv6.bindv6only says.
        socket.set_only_v6(false)?;
    }
    prepare(&socket)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn has_no_ipv6(error: &io::Error) -> bool {
    let unknown = [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL, Errno::EPROTONOSUPPORT];
    error.raw_os_error().is_some_and(|code| unknown.contains(&Errno::from_raw(code)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpStream, UdpSocket};

    use super::*;

    fn any(port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::from([0u16; 8]), port)
    }

    #[test]
    fn both_families_reach_the_unspecified_address() {
        let listener = listen(any(0)).unwrap();
        listener.set_nonblocking(false).unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "::1"] {
            let Ok(mut stream) = TcpStream::connect((host, port)) else {
                assert_eq!(host, "::1", "IPv4 must reach it, IPv6 only where there is IPv6");
                continue;
            };
            stream.write_all(b"x").unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip().to_canonical().to_string(), host);
        }
        let socket: UdpSocket = bind(any(0), Type::DGRAM, |_| Ok(())).unwrap().into();
        socket.set_nonblocking(false).unwrap();
        let port = socket.local_addr().unwrap().port();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", ("127.0.0.1", port)).unwrap();
        let (_, peer) = socket.recv_from(&mut [0; 1]).unwrap();
        assert_eq!(peer.ip().to_canonical().to_string(), "127.0.0.1");
    }

    #[test]
    fn a_port_that_is_taken_is_no_lack_of_ipv6() {
        let taken = listen(any(0)).unwrap();
        let error = listen(any(taken.local_addr().unwrap().port())).unwrap_err();
        assert!(!has_no_ipv6(&error), "{error}");
        assert!(has_no_ipv6(&io::Error::from_raw_os_error(Errno::EAFNOSUPPORT as i32)));
    }
}
