//! Which addresses a request may be sent to. A name is judged by the addresses that it has when it is connected to, so
//! that no name leads into the home.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address or a network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Reads `192.0.2.1`, `10.0.0.0/8`, `::1` or `fd00::/8`. A prefix of 0 (everybody) is refused.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => widest,
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            Some(_) => return None,
        };
        // The IPv6 form of an IPv4 network counts its bits from the front of the IPv6 form.
        let canonical = address.to_canonical();
        let skipped = if address.is_ipv6() && canonical.is_ipv4() { 96 } else { 0 };
        let prefix_bits = u8::checked_sub(prefix_bits, skipped)?;
        (1..=widest - skipped).contains(&prefix_bits).then_some(Self { address: canonical, prefix_bits })
    }

    /// Whether `candidate` lies within. An IPv4 address in IPv6 form (`::ffff:`) counts as IPv4.
    #[must_use]
    pub fn contains(&self, candidate: IpAddr) -> bool {
        match (self.address, candidate.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = 32 - u32::from(self.prefix_bits);
                (ours.to_bits() ^ theirs.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = 128 - u32::from(self.prefix_bits);
                (ours.to_bits() ^ theirs.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Where a request may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere: the owner named the address.
    #[default]
    Any,
    /// To the internet only, and to these networks of the home.
    Public(Vec<Network>),
}

impl Reach {
    /// Whether a connection to that address is allowed.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Public(except) => is_public(address) || except.iter().any(|network| network.contains(address)),
        }
    }
}

/// Networks that are not the internet: this machine, the home, the link, carriers, documentation, tests, multicast
/// (RFC 6890 and the registries behind it).
const V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 3),
];

/// Whether an address is on the internet. What carries an IPv4 address inside is judged by that.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    V4.iter().all(|(network, bits)| (address.to_bits() ^ Ipv4Addr::from(*network).to_bits()) >> (32 - bits) != 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, .., seventh, eighth] = address.segments();
    let inner = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match (first, second) {
        // The translation prefix of NAT64, and 6to4.
        (0x64, 0xff9b) => is_public_v4(inner(seventh, eighth)),
        (0x2002, _) => is_public_v4(inner(second, third)),
        // Documentation, Teredo and other tunnels, benchmarks.
        (0x2001, 0x0db8 | 0..=0x01ff) | (0x3fff, _) => false,
        // Only 2000::/3 is given out; unspecified, loopback, unique local, link local and multicast lie elsewhere.
        _ => first >> 13 == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_and_no_others() {
        for (network, inside, outside) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.168.1.0/25", "192.168.1.127", "192.168.1.128"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
            ("::1", "::1", "::2"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.1"),
            ("fd00::/8", "fdff::1", "fc00::1"),
            ("127.0.0.1", "127.0.0.1", "::1"),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
        }
        for wrong in [
            "",
            "10.0.0.0/33",
            "0.0.0.0/0",
            "::/0",
            "::ffff:0.0.0.0/96",
            "fd00::/129",
            "10.0.0/8",
            "10.0.0.0/+8",
            "proxy",
        ] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn nothing_of_the_home_is_the_internet_in_any_spelling() {
        for inside in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:192.168.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::c0a8:101",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
            "2001:db8::1",
            "2001:0:53aa:64c::1",
            "::127.0.0.1",
            "100::1",
            "64:ff9b:1::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in
            ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::101:101"]
        {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn the_owner_may_name_networks_of_the_home() {
        let reach = Reach::Public(vec![Network::parse("192.168.1.0/24").unwrap()]);
        assert!(reach.allows("192.168.1.7".parse().unwrap()) && !reach.allows("192.168.2.7".parse().unwrap()));
        assert!(Reach::Any.allows("127.0.0.1".parse().unwrap()));
    }
}
