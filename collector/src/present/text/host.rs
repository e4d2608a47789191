//! The words of an agent's machine.

/// Every text about an agent's machine.
#[derive(Debug)]
#[allow(missing_docs, reason = "a field's name is its English text")]
pub struct HostTexts {
    pub title: &'static str,
    pub load: fn(&str, u32) -> String,
    pub load_high: &'static str,
    pub memory: fn(&str, &str) -> String,
    pub memory_high: &'static str,
}

pub(super) const EN: HostTexts = HostTexts {
    title: "Host load",
    load: |load, cores| match cores {
        1 => format!("{load} on 1 core"),
        cores => format!("{load} on {cores} cores"),
    },
    load_high: "more work than cores",
    memory: |share, total| format!("memory {share} of {total} GiB"),
    memory_high: "little memory left",
};

pub(super) const FR: HostTexts = HostTexts {
    title: "Charge de la machine",
    load: |load, cores| match cores {
        1 => format!("{load} sur 1 cœur"),
        cores => format!("{load} sur {cores} cœurs"),
    },
    load_high: "plus de travail que de cœurs",
    memory: |share, total| format!("mémoire {share} de {total} Gio"),
    memory_high: "peu de mémoire libre",
};
