use proptest::prelude::*;

use super::*;

fn policy(allow: &[&str]) -> Policy {
    Policy::parse(&allow.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn verdict(policy: &Policy, ip: &str) -> Result<(), String> {
    policy.judge(ip.parse().unwrap()).map_err(|refusal| refusal.to_string())
}

const METADATA_SPELLINGS: [&str; 15] = [
    "169.254.169.254",
    "169.254.170.2",
    "192.0.0.192",
    "100.100.100.200",
    "168.63.129.16",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "::169.254.169.254",
    "::ffff:0:a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "2606:4700::5efe:a9fe:a9fe",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
];

#[test]
fn without_a_list_public_unicast_alone_is_dialled() {
    let policy = Policy::default();
    for good in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "126.255.255.255",
        "128.0.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "192.167.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00::1",
        "2001:200::1",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::1",
    ] {
        assert_eq!(verdict(&policy, good), Ok(()), "{good}");
    }
    for (bad, why) in [
        ("127.0.0.1", "127.0.0.1 is loopback"),
        ("127.255.255.254", "127.255.255.254 is loopback"),
        ("10.0.0.7", "10.0.0.7 is private"),
        ("172.16.0.1", "172.16.0.1 is private"),
        ("172.31.255.255", "172.31.255.255 is private"),
        ("192.168.1.1", "192.168.1.1 is private"),
        ("100.64.0.1", "100.64.0.1 is private (carrier-grade NAT)"),
        ("169.254.1.1", "169.254.1.1 is link-local"),
        ("0.0.0.0", "0.0.0.0 is no address of a host"),
        ("0.1.2.3", "0.1.2.3 is no address of a host"),
        ("192.0.0.8", "192.0.0.8 is reserved"),
        ("192.0.2.1", "192.0.2.1 is for documentation"),
        ("198.51.100.1", "198.51.100.1 is for documentation"),
        ("203.0.113.1", "203.0.113.1 is for documentation"),
        ("198.18.0.1", "198.18.0.1 is for benchmarks"),
        ("198.19.255.255", "198.19.255.255 is for benchmarks"),
        ("192.88.99.1", "192.88.99.1 is reserved"),
        ("224.0.0.1", "224.0.0.1 is multicast"),
        ("240.0.0.1", "240.0.0.1 is reserved"),
        ("255.255.255.255", "255.255.255.255 is broadcast"),
        ("::", ":: is no address of a host"),
        ("::1", "::1 is loopback"),
        ("fe80::1", "fe80::1 is link-local"),
        ("fec0::1", "fec0::1 is private"),
        ("fc00::1", "fc00::1 is private"),
        ("fdff::1", "fdff::1 is private"),
        ("ff02::1", "ff02::1 is multicast"),
        ("100::1", "100::1 is reserved"),
        ("2001::1", "2001::1 is reserved"),
        ("2001:2::1", "2001:2::1 is for benchmarks"),
        ("2001:10::1", "2001:10::1 is reserved"),
        ("2001:db8::1", "2001:db8::1 is for documentation"),
        ("3fff::1", "3fff::1 is for documentation"),
        ("4000::1", "4000::1 is reserved"),
        ("5f00::1", "5f00::1 is reserved"),
        ("::1.1.1.1", "::101:101 is reserved"),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1 leads to 127.0.0.1, which is loopback"),
        ("64:ff9b::a00:1", "64:ff9b::a00:1 leads to 10.0.0.1, which is private"),
        ("2002:7f00:1::", "2002:7f00:1:: leads to 127.0.0.1, which is loopback"),
        ("2606:4700::5efe:10.0.0.1", "2606:4700::5efe:a00:1 leads to 10.0.0.1, which is private"),
        ("2606:4700::200:5efe:10.0.0.1", "2606:4700::200:5efe:a00:1 leads to 10.0.0.1, which is private"),
    ] {
        assert_eq!(verdict(&policy, bad), Err(why.to_owned()), "{bad}");
    }
}

#[test]
fn metadata_addresses_are_allowed_by_their_own_name_alone() {
    for wide in [
        &[][..],
        &["loopback", "private"],
        &["0.0.0.0/0", "::/0", "loopback", "private"],
        &["169.254.169.0/24", "169.254.169.254/31"],
    ] {
        for spelling in METADATA_SPELLINGS {
            let refused = verdict(&policy(wide), spelling).unwrap_err();
            assert!(refused.contains("metadata") || !wide.contains(&"::/0"), "{spelling}: {refused}");
        }
    }
    let named = policy(&["169.254.169.254", "fd00:ec2::254/128"]);
    for good in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "64:ff9b::a9fe:a9fe"] {
        assert_eq!(verdict(&named, good), Ok(()), "{good}");
    }
    assert!(verdict(&named, "169.254.170.2").is_err());
    let refusal = Policy::default().judge("169.254.169.254".parse().unwrap()).unwrap_err();
    assert_eq!(
        (refusal.to_string().as_str(), refusal.entry().as_str()),
        ("169.254.169.254 is a cloud metadata address", "169.254.169.254")
    );
}

#[test]
fn words_and_prefixes_allow_what_they_say() {
    let loopback = policy(&["loopback"]);
    assert_eq!(verdict(&loopback, "127.9.9.9"), Ok(()));
    assert_eq!(verdict(&loopback, "::1"), Ok(()));
    assert_eq!(verdict(&loopback, "::ffff:127.0.0.1"), Ok(()));
    assert!(verdict(&loopback, "10.0.0.1").is_err());
    assert!(verdict(&loopback, "0.0.0.0").is_err(), "0.0.0.0 is this machine to some systems, and no name for it");
    let private = policy(&["private"]);
    for good in [
        "10.0.0.1",
        "172.20.1.1",
        "192.168.0.1",
        "100.64.1.1",
        "169.254.7.7",
        "fd12::1",
        "fe80::1",
        "64:ff9b::10.0.0.1",
    ] {
        assert_eq!(verdict(&private, good), Ok(()), "{good}");
    }
    assert!(verdict(&private, "127.0.0.1").is_err());
    let prefixes = policy(&["10.1.0.0/16", "fd00:1::/32", "192.0.2.7", "127.0.0.2/32", "::ffff:10.9.0.0/112"]);
    for good in ["10.1.255.255", "::ffff:10.1.0.1", "fd00:1::7", "192.0.2.7", "127.0.0.2", "10.9.1.1"] {
        assert_eq!(verdict(&prefixes, good), Ok(()), "{good}");
    }
    for bad in ["10.2.0.1", "fd00:2::7", "192.0.2.8", "127.0.0.1", "127.0.0.3", "::127.0.0.2", "10.10.0.1"] {
        assert!(verdict(&prefixes, bad).is_err(), "{bad}");
    }
    assert!(verdict(&policy(&["::/0"]), "127.0.0.1").is_err(), "all of IPv6 is not all of IPv4");
    assert!(verdict(&policy(&["::/0"]), "::ffff:127.0.0.1").is_err(), "in no spelling");
    assert!(verdict(&policy(&["::/96"]), "::127.0.0.1").is_err(), "what it carries is judged besides");
    assert_eq!(verdict(&policy(&["::/96", "loopback"]), "::127.0.0.1"), Ok(()));
}

#[test]
fn local_translation_is_read_in_every_way_unless_its_prefix_is_named() {
    // 10.0.0.7 in each format of RFC 6052, 2.2.
    for spelling in ["64:ff9b:1:a00:0:700::", "64:ff9b:1:a:0:7::", "64:ff9b:1:0:a:0:700::", "64:ff9b:1::a00:7"] {
        let public_but_local = policy(&[]);
        assert!(verdict(&public_but_local, spelling).is_err(), "{spelling}");
    }
    let named = policy(&["64:ff9b:1:fffe::/96"]);
    assert_eq!(verdict(&named, "64:ff9b:1:fffe::101:101"), Ok(()));
    assert_eq!(
        verdict(&named, "64:ff9b:1:fffe::a00:7"),
        Err("64:ff9b:1:fffe::a00:7 leads to 10.0.0.7, which is private".to_owned())
    );
    let short = policy(&["64:ff9b:1::/48"]);
    assert_eq!(verdict(&short, "64:ff9b:1:101:1:100::"), Ok(()));
    assert!(verdict(&short, "64:ff9b:1:a00:0:700::").is_err());
}

#[test]
fn refusals_name_the_entry_that_would_allow_them() {
    let entry = |address: &str| Policy::default().judge(address.parse().unwrap()).unwrap_err().entry();
    for (address, is) in
        [("10.0.0.7", "private"), ("169.254.1.1", "private"), ("::1", "loopback"), ("198.18.0.1", "198.18.0.1")]
    {
        assert_eq!(entry(address), is);
    }
}

#[test]
fn ones_own_networks_are_no_links_and_no_metadata() {
    let own = Policy::own_networks();
    for good in ["127.0.0.1", "::1", "10.0.0.7", "192.168.1.1", "fd12::1", "1.1.1.1", "2606:4700::1111"] {
        assert_eq!(verdict(&own, good), Ok(()), "{good}");
    }
    for bad in ["169.254.7.7", "fe80::1", "::ffff:169.254.7.7", "0.0.0.0", "224.0.0.1", "255.255.255.255"] {
        assert!(verdict(&own, bad).is_err(), "{bad}");
    }
    for spelling in METADATA_SPELLINGS {
        assert!(verdict(&own, spelling).is_err(), "{spelling}");
    }
    assert_eq!(own.judge("169.254.7.7".parse().unwrap()).unwrap_err().entry(), "169.254.7.7");
    let named = policy(&["private", "169.254.7.7"]).without_link_local();
    assert_eq!(verdict(&named, "169.254.7.7"), Ok(()));
    assert!(verdict(&named, "169.254.7.8").is_err());
}

#[test]
fn a_wrong_entry_is_named_with_its_remedy() {
    let error = |entry: &str| Policy::parse(&[entry.to_owned()]).unwrap_err();
    for entry in ["Loopback", "", "10.0.0", "0x7f.1", "2130706433", "example.com", "fe80::1%eth0", "127.1"] {
        assert!(error(entry).contains("is no entry of an allow-list"), "{}", error(entry));
    }
    assert!(error("10.0.0.0/33").contains("0 to 32"));
    assert!(error("fd00::/129").contains("0 to 128"));
    assert!(error("10.0.0.0/").contains("0 to 32"));
    assert_eq!(
        error("10.1.2.3/16"),
        "\"10.1.2.3/16\" has bits beyond its prefix: write \"10.1.0.0/16\", or 10.1.2.3 alone for that one address"
    );
}

#[test]
fn the_list_is_described() {
    assert_eq!(Policy::default().describe(), "public addresses");
    assert_eq!(
        policy(&["10.1.0.0/16", "private", "192.0.2.7", "fd00::/8"]).describe(),
        "public addresses, private, 10.1.0.0/16, 192.0.2.7, fd00::/8"
    );
}

proptest! {
    /// Whatever is allowed besides, no embedding of an IPv4 address is judged more kindly than the address itself.
    #[test]
    fn an_embedding_never_widens(bits: u32, prefix: u16, words in 0_u8..4) {
        let mut allow = vec![];
        if words & 1 > 0 { allow.push("loopback"); }
        if words & 2 > 0 { allow.push("private"); }
        let policy = policy(&allow);
        let inner = Ipv4Addr::from_bits(bits);
        let refused = policy.judge(inner.into()).is_err();
        let [a, b] = [(bits >> 16) as u16, bits as u16];
        for outer in [
            [0, 0, 0, 0, 0, 0xffff, a, b], [0x64, 0xff9b, 0, 0, 0, 0, a, b], [0, 0, 0, 0, 0, 0, a, b], [0, 0, 0, 0, 0xffff, 0, a, b],
            [0x2002, a, b, prefix, 0, 0, 0, 1], [0x2001, 0, a, b, 0, 0, 0xfefe, 0xfefe], [0x2001, 0, 0x101, 0x101, 0, 0, !a, !b],
            [0x2a00, prefix, 0, 0, 0, 0x5efe, a, b], [0x2a00, prefix, 0, 0, 0x200, 0x5efe, a, b],
            [0x64, 0xff9b, 1, prefix, 0, 0, a, b], [0x64, 0xff9b, 1, a, b >> 8, b << 8, 0, 0],
        ] {
            let outer = Ipv6Addr::from(outer);
            if refused && outer != Ipv6Addr::LOCALHOST {
                prop_assert!(policy.judge(outer.into()).is_err(), "{outer} of {inner}");
            }
        }
    }

    /// A list that is described is a list that can be read again.
    #[test]
    fn any_prefix_is_written_as_it_is_read(bits: u128, length in 0_u8..=128) {
        let first = Ipv6Addr::from_bits(bits & mask(length));
        let prefix = Prefix::parse(&format!("{first}/{length}")).unwrap();
        prop_assert_eq!(Prefix::parse(&prefix.to_string()), Ok(prefix));
        prop_assert!(prefix.contains(IpAddr::V6(Ipv6Addr::from_bits(bits))));
    }
}
