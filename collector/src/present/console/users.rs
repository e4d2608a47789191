//! Users in settings: who there is, written as code like everything else. A form here changes name, address and role and leaves every other key as it stands; where a
//! file says otherwise, its next apply sets it back.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use sitepulse_model::user::{Role, User};

use super::acts::{self, Doer};
use super::frame::{Frame, Place};
use super::parts::{Field, Input};
use super::sheet::{Sheet, choice, line};
use crate::book::{Book, Object, ObjectKind};
use crate::checkfile::write;
use crate::present::Present;
use crate::present::api::definitions;
use crate::present::problem::{Answer, Code, Problem};

const KIND: ObjectKind = ObjectKind::User;

/// What a form says of a user.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct UserForm {
    id: String,
    name: String,
    email: String,
    role: String,
    /// What the form was opened with; empty: nobody of this id.
    tag: String,
}

/// `GET /settings/users/new`
pub async fn new_user(frame: Frame) -> Answer<Response> {
    sheet(&frame, None, &UserForm { role: Role::Viewer.as_str().to_owned(), ..UserForm::default() })
}

/// `GET /settings/users/{id}/edit`
pub async fn edit_user(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    let form = {
        let book = present.app().book();
        let user = current(&book, &id)?;
        UserForm {
            name: user.name.unwrap_or_default(),
            email: user.email.unwrap_or_default(),
            role: user.role.map(|role| role.to_string()).unwrap_or_default(),
            tag: definitions::tag_of(&book, KIND, &id).unwrap_or_default(),
            id: user.id,
        }
    };
    sheet(&frame, Some(&id), &form)
}

/// `POST /settings/users/new` and `/settings/users/{id}/edit`
pub async fn write_user(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    path: Option<Path<String>>,
    Form(mut form): Form<UserForm>,
) -> Answer<Response> {
    let id = path.map(|Path(id)| id);
    let (own, t) = (action_of(id.as_deref()), frame.t);
    let mut why = match written(&present, &doer, id.as_deref(), &form).await {
        Ok(()) => return Ok(acts::see("/settings?said=user")),
        Err(why) => why,
    };
    match &id {
        // Somebody else was faster: whoever sends the form again has seen that.
        Some(id) if why.code() == Code::Changed => {
            form.tag = acts::tag_of(&present, KIND, id);
            why = Problem::new(Code::Changed, t.trouble.changed_below);
        }
        None if why.code() == Code::Changed => why = Problem::new(Code::Conflict, (t.trouble.taken)(form.id.trim())),
        Some(_) | None => {}
    }
    sheet(&frame.refused(own, why), id.as_deref(), &form)
}

/// `GET /settings/users/{id}/retire`: the button.
pub async fn retiring_user(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    current(&present.app().book(), &id)?;
    retire_sheet(&frame, &id)
}

/// `POST /settings/users/{id}/retire`
pub async fn retire_user(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Path(id): Path<String>,
) -> Answer<Response> {
    doer.note.tell(format!("-{} {id}", KIND.table()));
    match definitions::end(&present, &doer.caller, KIND.table(), &id).await {
        Ok(()) => Ok(acts::see("/settings?said=retired")),
        Err(why) if why.is_not_found() => Err(why),
        Err(why) => retire_sheet(&frame.refused(format!("/settings/users/{id}/retire"), why), &id),
    }
}

fn current(book: &Book, id: &str) -> Answer<User> {
    let found = book.objects().users.current(id).ok_or_else(|| Problem::not_found("user", id))?;
    Ok(found.body.clone())
}

async fn written(present: &Present, doer: &Doer, id: Option<&str>, form: &UserForm) -> Answer<()> {
    let mut keys = match id {
        Some(id) => write::object(&Object::User(current(&present.app().book(), id)?)),
        None => serde_json::Map::new(),
    };
    let id = id.unwrap_or_else(|| form.id.trim());
    for (key, text) in
        [("id", id), ("name", form.name.trim()), ("email", form.email.trim()), ("role", form.role.as_str())]
    {
        match text {
            "" if key != "id" => drop(keys.remove(key)),
            text => drop(keys.insert(key.to_owned(), Value::String(text.to_owned()))),
        }
    }
    let file = write::file(acts::FILE, KIND.table(), keys).map_err(|fault| Problem::new(Code::BadRequest, fault))?;
    acts::put(present, doer, (KIND, id), &form.tag, file.text, false).await.map(|_| ())
}

fn action_of(id: Option<&str>) -> String {
    id.map_or_else(|| "/settings/users/new".to_owned(), |id| format!("/settings/users/{id}/edit"))
}

fn sheet(frame: &Frame, id: Option<&str>, form: &UserForm) -> Answer<Response> {
    let (t, u) = (frame.t, frame.t.users);
    let mut fields = Vec::new();
    if id.is_none() {
        fields.push(Field { hint: u.id_what.into(), ..line("id", u.id, &form.id) });
    }
    let roles = std::iter::once(choice("", u.no_role));
    let roles = roles.chain(Role::ALL.map(|role| choice(role.as_str(), (u.role_word)(role)))).collect();
    fields.extend([
        Field { label: u.name.into(), wide: true, hint: u.name_what.into(), ..Field::text("name", &form.name) },
        Field { label: u.email.into(), wide: true, hint: u.email_what.into(), ..Field::text("email", &form.email) },
        Field { label: t.access.role.into(), input: Input::Select(roles), ..Field::text("role", &form.role) },
    ]);
    let sheet = Sheet {
        title: id.map_or_else(|| u.new.to_owned(), |id| format!("{} {id}", t.desk.edit)),
        intro: t.desk.as_code_what.into(),
        from: ("/settings".into(), t.access.settings.into()),
        action: action_of(id),
        hidden: vec![("tag", form.tag.clone())],
        fields,
        submit: t.desk.save,
        ..Sheet::default()
    };
    sheet.page(frame, Place::Settings)
}

fn retire_sheet(frame: &Frame, id: &str) -> Answer<Response> {
    let (t, u) = (frame.t, frame.t.users);
    let sheet = Sheet {
        title: format!("{} {id}", u.retire),
        intro: u.retire_what.into(),
        from: ("/settings".into(), t.access.settings.into()),
        action: format!("/settings/users/{id}/retire"),
        submit: u.retire,
        danger: true,
        ..Sheet::default()
    };
    sheet.page(frame, Place::Settings)
}
