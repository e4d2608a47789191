//! Objects beside checks, and the labels of checks.

use super::*;

#[test]
fn checks_carry_a_group_and_tags() {
    let file = "[[check]]\nid = \"a\"\nkind = \"http\"\nurl = \"https://a.example\"\ngroup = \"shop\"\ntags = [\"eu\", \"checkout\"]\n\
                [[check]]\nid = \"b\"\nkind = \"tcp\"\naddress = \"b.example:1\"\nfamily = \"both\"\ngroup = \"shop\"\n";
    let checks = written(file).unwrap().checks;
    let shown: Vec<(&str, Option<&str>, Vec<&str>)> = checks
        .iter()
        .map(|check| {
            let Labels { group, tags, .. } = &check.labels;
            (
                check.definition.id.as_str(),
                group.as_ref().map(|group| group.as_str()),
                tags.iter().map(|tag| tag.as_str()).collect(),
            )
        })
        .collect();
    let shop = Some("shop");
    assert_eq!(shown, [("a", shop, vec!["checkout", "eu"]), ("b-ipv4", shop, vec![]), ("b-ipv6", shop, vec![])]);
}

#[test]
fn labels_are_slugs_and_few() {
    let many: Vec<String> = (0..=TAGS_MAX).map(|n| format!("\"t{n}\"")).collect();
    let check = |keys: &str| format!("[[check]]\nid = \"a\"\nkind = \"tcp\"\naddress = \"a.example:1\"\n{keys}\n");
    let told = |keys: &str| texts(&check(keys)).join("\n");
    let all = told("group = \"Shop\"\ntags = [\"eu\", \"eu\", \"A b\", 7]");
    assert!(all.contains("checks.toml:5:9: check \"a\": group \"Shop\" is not a slug"), "{all}");
    assert!(all.contains("checks.toml:6:15: check \"a\": tag \"eu\" is named twice"), "{all}");
    assert!(all.contains("checks.toml:6:21: check \"a\": tag \"A b\" is not a slug"), "{all}");
    assert!(all.contains("checks.toml:6:28: check \"a\": a tag is a whole number: write a text"), "{all}");
    assert!(told(&format!("tags = [{}]", many.join(", "))).contains("at most 16"));
    assert!(told("tags = \"eu\"").contains("tags is a text: write a list"));
    assert!(told("providers = \"ovh\"").contains("providers is a text: write a list, like [\"ovh\"]"));
    assert!(told("providers = [\"ovh\", \"ovh\"]").contains("provider \"ovh\" is named twice"));
    assert!(told("providers = [\"OVH\"]").contains("provider \"OVH\" is not a slug"));
    assert!(told("groups = \"eu\"").contains("did you mean \"group\"?"));
}

#[test]
fn every_kind_of_object_is_read() {
    let file = "[[policy]]\nid = \"gold\"\nobjective = \"99.9%\"\nregional = \"by_share\"\n\
                [[slo]]\nid = \"shop\"\ngroups = [\"shop\"]\npolicy = \"gold\"\nperiod = \"7d\"\n\
                [[maintenance]]\nid = \"shop\"\nchecks = [\"a\"]\nfrom = \"2026-12-01T02:00:00Z\"\nlasts = \"2h\"\n";
    let objects = written(file).unwrap().objects;
    let shown: Vec<(&str, &str)> =
        objects.iter().map(|written| (written.object.kind().table(), written.object.id())).collect();
    assert_eq!(shown, [("maintenance", "shop"), ("policy", "gold"), ("slo", "shop")]);
    let places: Vec<String> = objects[2].references.iter().map(|(to, place)| format!("{} {place}", to.name)).collect();
    assert_eq!(places, ["shop checks.toml:7:11", "gold checks.toml:8:10"]);
    for written in &objects {
        let again = Object::from_json(written.object.kind(), &written.object.json()).unwrap();
        assert_eq!(again.json(), written.object.json());
    }
}

#[test]
fn the_faults_of_objects_are_told_at_once_with_place_and_remedy() {
    let found = texts(
        r#"[[slo]]
id = "a"
check = ["shop"]
period = "30"
[[slo]]
id = "a"
groups = ["x", "x"]
[[slo]]
id = "B"
[[slo]]
groups = ["x"]
[slo2]
[[maintenances]]
[[policy]]
id = "gold"
objective = 99.9
[[policy]]
id = "gold"
objective = "99.9"
"#,
    );
    assert_eq!(
        found,
        [
            r#"checks.toml:1:1: slo "a": it covers nothing: name checks, groups or both, as in checks = ["shop"]"#,
            r#"checks.toml:3:1: slo "a": unknown key "check": did you mean "checks"?"#,
            r#"checks.toml:4:10: slo "a": period: duration "30" has no unit after 30: use one of us, ms, s, m, h, d, as in 30s; or write "week", "month" or "quarter""#,
            r#"checks.toml:6:6: slo "a": the id is already used at checks.toml:2:6: give each slo an id of its own"#,
            r#"checks.toml:7:16: slo "a": groups[1]: "x" is named twice: once is enough"#,
            r#"checks.toml:9:6: slo "B": id "B" is not a slug: use 1 to 64 of a-z, 0-9, '-', '_' and '.', starting with a letter or digit"#,
            r#"checks.toml:10:1: "id" is missing: add id = "shop""#,
            r#"checks.toml:12:2: unknown key "slo2": did you mean "slo"?"#,
            r#"checks.toml:13:3: unknown key "maintenances": did you mean "maintenance"?"#,
            r#"checks.toml:16:13: policy "gold": objective: found floating point 99.9, write a text in quotes, and for a time its unit, as in "10s""#,
            r#"checks.toml:19:13: policy "gold": objective: "99.9" is no share of the time: write a percentage above 0% of at most four decimals, like "99.9%""#,
        ]
    );
    assert!(texts("slo = 7\n")[0].contains("write [[slo]] with two brackets"));
}

#[test]
fn policies_tell_what_is_wrong_with_their_hours() {
    let found = texts(
        r#"[[policy]]
id = "a"
objective = "99%"
hours = { zone = "Europe/Paris", weekly = ["mon-fri 22:00-06:00"] }
[[policy]]
id = "b"
objective = "99%"
hours = { zone = "Europe/Pari", weekly = ["mon-fri 08:00-20:00"], except = ["2026-12-25"] }
[[policy]]
id = "c"
objective = "99%"
unknown = "by_share"
[[policy]]
id = "d"
objective = "99%"
regional = "half"
[[policy]]
id = "default"
objective = "99%"
"#,
    );
    assert_eq!(
        found,
        [
            r#"checks.toml:4:43: policy "a": hours.weekly: "mon-fri 22:00-06:00" ends before it begins: for hours over midnight name both days, like "fri 22:00-sat 06:00""#,
            r#"checks.toml:8:18: policy "b": hours.zone: "Europe/Pari" is no IANA time zone: write a name like "Europe/Paris" or "UTC""#,
            r#"checks.toml:12:11: policy "c": unknown: "by_share" says nothing here, for nobody votes down in such time: write "excluded", "up" or "down""#,
            r#"checks.toml:16:12: policy "d": regional: "half" says nothing about how time counts: write "excluded", "up", "down" or "by_share""#,
            r#"checks.toml:18:6: policy "default": id: "default" is the built-in policy: choose another id"#,
        ]
    );
}

#[test]
fn too_many_objects_are_refused() {
    let file: String = (0..=OBJECTS_MAX).map(|n| format!("[[slo]]\nid = \"s{n}\"\nchecks = [\"a\"]\n")).collect();
    assert_eq!(texts(&file), ["checks.toml:1:1: 2001 [[slo]] tables are more than the 2000 that one collector takes"]);
}
