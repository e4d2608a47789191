//! The scoring model as a form: weights, thresholds, how fast evidence fades. Trying it shows what it would change, before anything is saved as a new version.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::Response;
use sitepulse_daemon::clock;
use sitepulse_model::impact::model::{ID, Ramp, ScoringModel};
use sitepulse_model::impact::{Module, Signal};

use super::acts::{self, Doer, quoted};
use super::frame::{Frame, Place};
use super::parts::{Chart, Field, Line};
use super::plan;
use crate::book::{Object, ObjectKind};
use crate::impact::Model;
use crate::present::Present;
use crate::present::api;
use crate::present::dto::impact::{TrialRowView, TrialView};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;

const PATH: &str = "/impact/model";
const KIND: ObjectKind = ObjectKind::Scoring;
/// Changed checks that are shown.
const ROWS_MAX: usize = 20;

/// The signals with thresholds: the names of their three fields, and where they stand in their module's table.
const RAMPS: [(Signal, [&str; 3], &str); 6] = [
    (Signal::WeightedAvailability, ["wa_share", "wa_warning", "wa_critical"], "weighted_availability"),
    (Signal::Recurrence, ["re_share", "re_warning", "re_critical"], "recurrence"),
    (Signal::LatencyP95, ["p95_share", "p95_warning", "p95_critical"], "p95"),
    (Signal::LatencyRegression, ["slow_share", "slow_warning", "slow_critical"], "regression"),
    (Signal::OpenFindings, ["open_share", "open_warning", "open_critical"], "open"),
    (Signal::StaleFindings, ["stale_share", "stale_warning", "stale_critical"], "stale"),
];
/// The shares of vitals: their thresholds are the profile's.
const VITALS: [(Signal, &str, &str); 3] = [
    (Signal::Lcp, "lcp_share", "lcp"),
    (Signal::Inp, "inp_share", "responsiveness"),
    (Signal::Cls, "cls_share", "cls"),
];

/// The name of a module's weight.
const fn weight_of(module: Module) -> &'static str {
    match module {
        Module::Availability => "availability_weight",
        Module::Latency => "latency_weight",
        Module::WebVitals => "web_vitals_weight",
        Module::Insights => "insights_weight",
    }
}

#[derive(Template)]
#[template(path = "scoring.html")]
struct Content<'a> {
    t: &'a Texts,
    model: String,
    general: Vec<Field>,
    modules: Vec<ModuleForm>,
    check: Field,
    plan: Option<Plan>,
    /// What the form was opened with; empty: the built-in model.
    tag: String,
    /// That somebody changed it meanwhile; may be empty.
    notice: &'static str,
}

struct ModuleForm {
    name: &'static str,
    note: &'static str,
    weight: Field,
    signals: Vec<SignalForm>,
}

struct SignalForm {
    name: &'static str,
    unit: &'static str,
    fields: Vec<Field>,
}

/// What saving would do.
struct Plan {
    lines: Vec<String>,
    toml: String,
    moved: String,
    rows: Vec<Change>,
    chart: Option<Chart>,
    chart_of: String,
}

struct Change {
    name: String,
    href: String,
    before: String,
    after: String,
    bands: String,
}

/// `GET /impact/model`
pub async fn scoring_page(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    // The tag first: of what is changed in between the form says too little, never too much.
    let tag = acts::tag_of(&present, KIND, ID);
    let model = current(&present);
    editor(&frame, &model.label, &Draft::of(&model.body), "", Beside { tag, ..Beside::default() })
}

/// `POST /impact/model`: tries what the form says, or saves it.
pub async fn write_scoring(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Form(form): Form<BTreeMap<String, String>>,
) -> Answer<Response> {
    let draft = Draft::read(&form);
    let told = |name: &str| form.get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    let (check, apply) = (told("check"), told("do") == "apply");
    let mut beside = Beside { tag: told("tag"), ..Beside::default() };
    let mut done = match apply {
        true => acts::put(&present, &doer, (KIND, ID), &beside.tag, draft.toml(), false).await.map(|_| None),
        false => tried(&present, &doer, &draft, (&beside.tag, &check), frame.t).await.map(Some),
    };
    if done.as_ref().is_err_and(|why| why.code() == Code::Changed) {
        // Somebody else was faster: what they wrote is what the trial begins from now.
        (beside.notice, beside.tag) = (frame.t.trouble.changed_meanwhile, acts::tag_of(&present, KIND, ID));
        done = tried(&present, &doer, &draft, (&beside.tag, &check), frame.t).await.map(Some);
    }
    let label = current(&present).label;
    match done {
        Ok(None) => Ok(acts::see("/impact")),
        Ok(plan) => editor(&frame.once(PATH), &label, &draft, &check, Beside { plan, ..beside }),
        Err(why) => editor(&frame.refused(PATH, why), &label, &draft, &check, beside),
    }
}

/// What the form shows beside its fields.
#[derive(Default)]
struct Beside {
    /// The tag of what it was opened with; empty: the built-in model.
    tag: String,
    /// Said above it; may be empty.
    notice: &'static str,
    plan: Option<Plan>,
}

fn current(present: &Present) -> Model {
    Model::at(present.app().book().objects(), clock::now())
}

/// What saving would change: of the definition, and of the scores of now and of 28 days.
async fn tried(present: &Present, doer: &Doer, draft: &Draft, (tag, check): (&str, &str), t: &Texts) -> Answer<Plan> {
    let toml = draft.toml();
    let planned = acts::put(present, doer, (KIND, ID), tag, toml.clone(), true).await?;
    let lines = plan::lines(&planned, t);
    let (model, now) = (draft.model()?, clock::now());
    let trial = api::impact::tried(present, model.clone(), None, 1, now).await?;
    let most = trial.rows.first().and_then(|row| row.check.clone());
    let shown = if check.is_empty() { most } else { Some(check.to_owned()) };
    let chart = match &shown {
        None => None,
        Some(id) => {
            let number = api::check_of(&present.app().book(), id)?.number;
            Some(chart(id, &api::impact::tried(present, model, Some(number), 1, now).await?, t))
        }
    };
    Ok(Plan {
        lines,
        toml,
        moved: (t.impact.moved)(trial.moved, trial.checks),
        rows: trial.whole.iter().chain(trial.rows.iter().take(ROWS_MAX)).map(|row| Change::of(row, t)).collect(),
        chart,
        chart_of: shown.map(|id| (t.impact.chart_of)(&id)).unwrap_or_default(),
    })
}

/// A check's scores by both models, day by day.
fn chart(id: &str, trial: &TrialView, t: &Texts) -> Chart {
    let line = |class, name: &str, of: fn(&TrialRowView) -> Option<f64>| Line {
        class,
        name: name.to_owned(),
        values: trial.rows.iter().map(of).collect(),
    };
    Chart {
        label: (t.impact.chart_of)(id),
        time: t.indicators.when.to_owned(),
        as_table: t.page.as_table.to_owned(),
        names: trial.rows.iter().map(|row| row.at.get(..10).unwrap_or_default().to_owned()).collect(),
        lines: vec![line("line-1", t.impact.before, |row| row.before), line("line-2", t.impact.after, |row| row.after)],
        write: |value| format!("{value:.0}"),
        number: t.number,
    }
}

impl Change {
    fn of(row: &TrialRowView, t: &Texts) -> Self {
        let score = |score: Option<f64>| {
            score.map_or_else(|| t.impact.none.to_owned(), |score| (t.number)(format!("{score:.2}")))
        };
        let band = |band: &Option<String>| band.as_deref().map_or(t.impact.none, t.impact.band);
        let (was, would_be) = (band(&row.band_before), band(&row.band_after));
        Self {
            name: row.check.clone().unwrap_or_else(|| t.impact.whole.to_owned()),
            href: row.check.as_ref().map(|id| format!("/checks/{id}#impact")).unwrap_or_default(),
            before: score(row.before),
            after: score(row.after),
            bands: if was == would_be { was.to_owned() } else { format!("{was} → {would_be}") },
        }
    }
}

/// What a form says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Draft(BTreeMap<&'static str, String>);

/// The fields that are texts, and those of the bands and the floor.
const GENERAL: [&str; 5] = ["decay", "look_back", "warning", "critical", "floor"];

impl Draft {
    fn of(model: &ScoringModel) -> Self {
        let ScoringModel { availability, latency, web_vitals, insights, .. } = model;
        let mut numbers: Vec<(&'static str, f64)> = vec![
            ("warning", model.warning),
            ("critical", model.critical),
            ("floor", model.floor),
            (weight_of(Module::Availability), availability.weight),
            (weight_of(Module::Latency), latency.weight),
            (weight_of(Module::WebVitals), web_vitals.weight),
            (weight_of(Module::Insights), insights.weight),
            ("lcp_share", web_vitals.lcp),
            ("inp_share", web_vitals.responsiveness),
            ("cls_share", web_vitals.cls),
        ];
        let ramps = [
            availability.weighted_availability,
            availability.recurrence,
            latency.p95,
            latency.regression,
            insights.open,
            insights.stale,
        ];
        for ((_, names, _), Ramp { share, warning, critical }) in RAMPS.iter().zip(ramps) {
            numbers.extend(names.iter().copied().zip([share, warning, critical]));
        }
        let texts = [("decay", model.decay.clone()), ("look_back", model.look_back.clone())];
        Self(numbers.into_iter().map(|(name, number)| (name, number.to_string())).chain(texts).collect())
    }

    fn names() -> impl Iterator<Item = &'static str> {
        let weights = Module::ALL.into_iter().map(weight_of);
        let ramps = RAMPS.iter().flat_map(|(_, names, _)| names.iter().copied());
        let vitals = VITALS.iter().map(|(_, name, _)| *name);
        GENERAL.into_iter().chain(weights).chain(ramps).chain(vitals)
    }

    fn read(form: &BTreeMap<String, String>) -> Self {
        // People in France write a comma.
        let told = |name: &str| form.get(name).map(|text| text.trim().replace(',', ".")).unwrap_or_default();
        Self(Self::names().map(|name| (name, told(name))).collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A number as TOML; what is none is told by whoever reads the file.
    fn number(&self, name: &str) -> String {
        let text = self.get(name);
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => number.to_string(),
            Ok(_) | Err(_) => quoted(text),
        }
    }

    /// The same as code.
    fn toml(&self) -> String {
        let mut out = format!("[[scoring]]\nid = {}\n", quoted(ID));
        for name in ["decay", "look_back"] {
            out.push_str(&format!("{name} = {}\n", quoted(self.get(name))));
        }
        for name in ["warning", "critical", "floor"] {
            out.push_str(&format!("{name} = {}\n", self.number(name)));
        }
        for module in Module::ALL {
            let mut parts = vec![format!("weight = {}", self.number(weight_of(module)))];
            for (_, [share, warning, critical], key) in RAMPS.iter().filter(|(signal, ..)| signal.module() == module) {
                let (share, warning, critical) = (self.number(share), self.number(warning), self.number(critical));
                parts.push(format!("{key} = {{ share = {share}, warning = {warning}, critical = {critical} }}"));
            }
            if module == Module::WebVitals {
                parts.extend(VITALS.iter().map(|(_, name, key)| format!("{key} = {}", self.number(name))));
            }
            out.push_str(&format!("{} = {{ {} }}\n", module.as_str(), parts.join(", ")));
        }
        out
    }

    /// The model that it says.
    ///
    /// # Errors
    /// What is wrong with it.
    fn model(&self) -> Answer<ScoringModel> {
        let Object::Scoring(model) = plan::object(&self.toml())? else {
            return Err(Problem::new(Code::BadRequest, "there is no model in it"));
        };
        Ok(model)
    }
}

fn editor(frame: &Frame, label: &str, draft: &Draft, check: &str, beside: Beside) -> Answer<Response> {
    let (t, w) = (frame.t, frame.t.impact);
    let field = |name: &'static str, label: &str, hint: &str| Field {
        label: label.to_owned(),
        hint: hint.to_owned(),
        required: true,
        ..Field::text(name, draft.get(name))
    };
    let general = vec![
        field("decay", w.decay, w.decay_hint),
        field("look_back", w.look_back, w.look_back_hint),
        field("warning", w.band_warning, ""),
        field("critical", w.band_critical, ""),
        field("floor", w.floor, w.floor_hint),
    ];
    let module = |module: Module| {
        let ramps = RAMPS.iter().filter(|(signal, ..)| signal.module() == module);
        let mut signals: Vec<SignalForm> = ramps
            .map(|(signal, [share, warning, critical], _)| SignalForm {
                name: (w.signal)(*signal),
                unit: (w.unit)(*signal),
                fields: vec![field(share, w.share, ""), field(warning, w.warning, ""), field(critical, w.critical, "")],
            })
            .collect();
        if module == Module::WebVitals {
            signals.extend(VITALS.iter().map(|(signal, name, _)| SignalForm {
                name: if *signal == Signal::Inp { w.responsiveness } else { (w.signal)(*signal) },
                unit: "",
                fields: vec![field(name, w.share, "")],
            }));
        }
        ModuleForm {
            name: (w.module)(module),
            note: if module == Module::WebVitals { w.thresholds_of_profile } else { "" },
            weight: field(weight_of(module), w.module_weight, ""),
            signals,
        }
    };
    let check =
        Field { label: w.try_check.to_owned(), hint: w.try_check_hint.to_owned(), ..Field::text("check", check) };
    let modules = Module::ALL.into_iter().map(module).collect();
    let Beside { tag, notice, plan } = beside;
    let content = Content { t, model: (w.model)(label), general, modules, check, plan, tag, notice };
    frame.page(Place::Checks, w.edit, None, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_form_shows_is_the_model_it_came_from() {
        let mut model = ScoringModel::built_in();
        model.decay = "3d".into();
        model.availability.recurrence = Ramp { share: 12.5, warning: 0.5, critical: 7.0 };
        model.web_vitals.cls = 0.0;
        let draft = Draft::of(&model);
        assert_eq!(draft.model().unwrap(), model);
        let form: BTreeMap<String, String> =
            draft.0.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
        assert_eq!(Draft::read(&form), draft);
        assert_eq!(Draft::names().count(), draft.0.len());
    }

    #[test]
    fn a_comma_is_a_point_and_nonsense_is_told() {
        let form = |floor: &str, decay: &str| {
            let draft = Draft::of(&ScoringModel::built_in());
            let mut form: BTreeMap<String, String> =
                draft.0.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
            form.insert("floor".into(), floor.into());
            form.insert("decay".into(), decay.into());
            Draft::read(&form).model()
        };
        assert!((form("0,5", "7d").unwrap().floor - 0.5).abs() < 1e-9);
        for (floor, decay) in [("much", "7d"), ("2", "7d"), ("", "7d"), ("0.5", "\"\nid = \"x"), ("nan", "7d")] {
            assert!(form(floor, decay).is_err(), "{floor} {decay}");
        }
    }
}
