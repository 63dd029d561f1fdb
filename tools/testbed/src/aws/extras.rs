//! What somebody may have given a user besides policies and access keys: a
//! console password, MFA devices, SSH keys, signing certificates and
//! service-specific credentials. Each blocks `DeleteUser`.

use jiff::Timestamp;

use super::dispatch::{Answer, Ctx};
use super::error::AwsError;
use super::state::{State, User};
use super::users::{date, paged};
use super::xml::Xml;

/// A kind of extra that users have lists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Mfa,
    SshKey,
    Certificate,
    ServiceCredential,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Extra {
    pub(super) kind: Kind,
    id: String,
    created: Timestamp,
}

/// How a kind looks in AWS's XML.
struct Shape {
    list: &'static str,
    item: &'static str,
    id: &'static str,
    date: &'static str,
    id_prefix: &'static str,
    blocker: &'static str,
    /// Fields of no interest here that clients expect.
    fixed: &'static [(&'static str, &'static str)],
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [
        Self::Mfa,
        Self::SshKey,
        Self::Certificate,
        Self::ServiceCredential,
    ];

    pub(super) fn blocker(self) -> &'static str {
        self.shape().blocker
    }

    fn shape(self) -> Shape {
        match self {
            Self::Mfa => Shape {
                list: "MFADevices",
                item: "MFADevice",
                id: "SerialNumber",
                date: "EnableDate",
                id_prefix: "GAHT",
                blocker: "deactivate MFA device",
                fixed: &[],
            },
            Self::SshKey => Shape {
                list: "SSHPublicKeys",
                item: "SSHPublicKey",
                id: "SSHPublicKeyId",
                date: "UploadDate",
                id_prefix: "APKA",
                blocker: "delete SSH public keys",
                fixed: &[("Status", "Active"), ("Fingerprint", "00:00")],
            },
            Self::Certificate => Shape {
                list: "Certificates",
                item: "Certificate",
                id: "CertificateId",
                date: "UploadDate",
                id_prefix: "ASCA",
                blocker: "delete signing certificates",
                fixed: &[("Status", "Active"), ("CertificateBody", "none")],
            },
            Self::ServiceCredential => Shape {
                list: "ServiceSpecificCredentials",
                item: "ServiceSpecificCredential",
                id: "ServiceSpecificCredentialId",
                date: "CreateDate",
                id_prefix: "ACCA",
                blocker: "delete service-specific credentials",
                fixed: &[
                    ("Status", "Active"),
                    ("ServiceName", "codecommit.amazonaws.com"),
                    ("ServiceUserName", "user-at-123456789012"),
                ],
            },
        }
    }
}

impl User {
    /// Whether the user has one of that kind.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.extras.iter().any(|extra| extra.kind == kind)
    }
}

impl Extra {
    fn new(kind: Kind, state: &mut State, wall: Timestamp) -> Self {
        Self {
            kind,
            id: state.new_id(kind.shape().id_prefix),
            created: wall,
        }
    }

    fn xml(&self, user: &str) -> Xml {
        let shape = self.kind.shape();
        let xml = Xml::new()
            .leaf("UserName", user)
            .leaf(shape.id, &self.id)
            .leaf(shape.date, &date(self.created));
        let fixed = shape.fixed.iter();
        fixed.fold(xml, |xml, (name, value)| xml.leaf(name, value))
    }
}

/// Gives a user one of everything that blocks its deletion.
pub(super) fn give_all(state: &mut State, name: &str, wall: Timestamp) -> Result<(), AwsError> {
    state.user(name)?;
    let mut extras: Vec<Extra> = Kind::ALL.map(|kind| Extra::new(kind, state, wall)).into();
    for extra in extras.iter_mut().filter(|extra| extra.kind == Kind::Mfa) {
        extra.id = format!("arn:aws:iam::{}:mfa/{name}", state.account);
        state.virtual_mfas.insert(extra.id.clone());
    }
    let mut passkey = Extra::new(Kind::Mfa, state, wall);
    passkey.id = format!(
        "arn:aws:iam::{}:u2f/user/{name}/key-{}",
        state.account, passkey.id
    );
    extras.push(passkey);
    let user = state.user_mut(name)?;
    user.extras.extend(extras);
    user.login_profile.get_or_insert(wall);
    Ok(())
}

pub(super) fn add(ctx: &mut Ctx<'_>, kind: Kind) -> Answer {
    let extra = Extra::new(kind, ctx.state, ctx.wall);
    let user = ctx.user_mut()?;
    let xml = extra.xml(&user.name);
    user.extras.push(extra);
    Ok(Some(Xml::new().element(kind.shape().item, xml)))
}

pub(super) fn list(ctx: &mut Ctx<'_>, kind: Kind) -> Answer {
    let user = ctx.readable_user()?;
    let mut extras: Vec<(String, Xml)> = user
        .extras
        .iter()
        .filter(|extra| extra.kind == kind)
        .map(|extra| (extra.id.clone(), extra.xml(&user.name)))
        .collect();
    extras.sort_by(|a, b| a.0.cmp(&b.0));
    let (extras, marker) = ctx.params.page(extras.into_iter())?;
    let xml = Xml::new().members(kind.shape().list, extras);
    Ok(Some(paged(xml, marker)))
}

pub(super) fn delete(ctx: &mut Ctx<'_>, kind: Kind) -> Answer {
    let id = ctx.params.require(kind.shape().id)?;
    let extras = &mut ctx.user_mut()?.extras;
    let found = extras.iter().position(|e| e.kind == kind && e.id == id);
    let Some(index) = found else {
        let message = format!("The {} {id} cannot be found.", kind.shape().item);
        return Err(AwsError::no_such_entity(message));
    };
    extras.remove(index);
    Ok(None)
}

pub(super) fn create_virtual_mfa(ctx: &mut Ctx<'_>) -> Answer {
    let name = ctx.params.name("VirtualMFADeviceName", 1..=128)?;
    let serial = format!("arn:aws:iam::{}:mfa/{name}", ctx.state.account);
    if !ctx.state.virtual_mfas.insert(serial.clone()) {
        let message = "MFADevice entity at the same path and name already exists.";
        return Err(AwsError::exists(message));
    }
    let xml = Xml::new().leaf("SerialNumber", &serial);
    Ok(Some(Xml::new().element("VirtualMFADevice", xml)))
}

pub(super) fn delete_virtual_mfa(ctx: &mut Ctx<'_>) -> Answer {
    let serial = ctx.params.require("SerialNumber")?;
    let in_use = |extra: &Extra| extra.kind == Kind::Mfa && extra.id == serial;
    if ctx
        .state
        .users
        .values()
        .any(|u| u.extras.iter().any(in_use))
    {
        let message = "MFA VirtualDevice in use. Must deactivate first.";
        return Err(AwsError::new(409, "DeleteConflict", message));
    }
    if !ctx.state.virtual_mfas.remove(serial) {
        return Err(no_such_mfa(serial));
    }
    Ok(None)
}

pub(super) fn enable_mfa(ctx: &mut Ctx<'_>) -> Answer {
    let serial = ctx.params.require("SerialNumber")?;
    if !ctx.state.virtual_mfas.contains(serial) {
        return Err(no_such_mfa(serial));
    }
    let extra = Extra {
        kind: Kind::Mfa,
        id: serial.to_owned(),
        created: ctx.wall,
    };
    ctx.user_mut()?.extras.push(extra);
    Ok(None)
}

fn no_such_mfa(serial: &str) -> AwsError {
    AwsError::no_such_entity(format!(
        "VirtualMFADevice with serial number {serial} doesn't exist."
    ))
}

pub(super) fn create_login_profile(ctx: &mut Ctx<'_>) -> Answer {
    let wall = ctx.wall;
    let user = ctx.user_mut()?;
    if user.login_profile.is_some() {
        let message = format!("Login Profile for user {} already exists.", user.name);
        return Err(AwsError::exists(message));
    }
    user.login_profile = Some(wall);
    Ok(Some(login_profile_xml(&user.name, wall)))
}

pub(super) fn get_login_profile(ctx: &mut Ctx<'_>) -> Answer {
    let user = ctx.readable_user()?;
    match user.login_profile {
        Some(created) => Ok(Some(login_profile_xml(&user.name, created))),
        None => Err(no_login_profile(&user.name)),
    }
}

pub(super) fn delete_login_profile(ctx: &mut Ctx<'_>) -> Answer {
    let user = ctx.user_mut()?;
    match user.login_profile.take() {
        Some(_) => Ok(None),
        None => Err(no_login_profile(&user.name)),
    }
}

fn no_login_profile(user: &str) -> AwsError {
    AwsError::no_such_entity(format!("Login Profile for User {user} cannot be found."))
}

fn login_profile_xml(user: &str, created: Timestamp) -> Xml {
    let xml = Xml::new()
        .leaf("UserName", user)
        .leaf("CreateDate", &date(created))
        .leaf("PasswordResetRequired", "false");
    Xml::new().element("LoginProfile", xml)
}
