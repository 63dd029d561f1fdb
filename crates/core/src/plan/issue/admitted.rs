//! Whether a request may be served now.

use jiff::Timestamp;

use crate::plan::admission::{self, Admission, Granted};
use crate::plan::reasons::{Reason, Verdict};
use crate::plan::view::{AccountView, RoleView, View};
use crate::plan::{Look, mark, secret};

/// What stops a request short of being served.
pub(super) enum Halt {
    /// Something has to be read first.
    Look(Look),
    /// It is served from that time on.
    Until(Timestamp),
    /// It waits for something that may come by itself.
    Waits(Verdict),
    /// It is not to be served as things are.
    Refused(Verdict),
}

/// May the request be served, and with what?
pub(super) fn admitted(view: &View, now: Timestamp) -> Result<Granted, Halt> {
    admission::check_names(&view.request).map_err(Halt::Refused)?;
    let role = match &view.role {
        RoleView::Unread => return Err(Halt::Look(Look::Role)),
        RoleView::Absent | RoleView::Leaving(_) => {
            let name = &view.request.spec.role_ref.name;
            let message =
                format!("there is no AwsRole {name}; create it or name another in a new request");
            return Err(Halt::Refused(Verdict::new(Reason::RoleNotFound, message)));
        }
        RoleView::Found(role) => role,
    };
    // What is issued before that moment would be revoked at once.
    let before = mark::before(role);
    if let Some(moment) = before.filter(|t| now < *t) {
        return Err(Halt::Until(moment));
    }
    if let Some(unfit) = &view.role_hint.unfit {
        return Err(Halt::Refused(unfit.clone()));
    }
    secret::check_template(&view.request).map_err(Halt::Refused)?;
    let account = match &view.account {
        AccountView::Ready(account) => account,
        AccountView::NotReady(verdict) | AccountView::OnlyToRevoke(_, verdict) => {
            return Err(Halt::Waits(verdict.clone()));
        }
        AccountView::Unknown => return Err(Halt::Look(Look::Role)),
    };
    let admission = admission::admit(
        &view.request,
        role,
        &view.namespace,
        account,
        &view.cluster,
        &view.usage,
    );
    match admission {
        Admission::Granted(granted) => Ok(*granted),
        Admission::NeedsNamespace => Err(Halt::Look(Look::Namespace)),
        Admission::Refused(verdict) => Err(Halt::Refused(verdict)),
    }
}
