//! The budgets of all AWS accounts. They belong to the account in AWS: two
//! `AwsAccount` objects that sign in to the same one share its budget.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::gate::Gate;
use crate::metrics::Metrics;
use keylease_core::plan::pacing::Service;

/// The budgets, by account id. They are kept while the process lives: what
/// was found out about an account outlasts a sign-in.
#[derive(Clone)]
pub struct Budgets {
    metrics: Metrics,
    accounts: Arc<Mutex<HashMap<String, Budget>>>,
}

/// What one account takes.
#[derive(Clone)]
pub struct Budget {
    iam: Arc<Gate>,
    sts: Arc<Gate>,
}

impl Budgets {
    /// No account yet.
    pub fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            accounts: Arc::default(),
        }
    }

    /// The budget of an account, by its 12-digit id.
    pub fn of(&self, account_id: &str) -> Budget {
        let mut accounts = self.accounts.lock();
        let entry = accounts.entry(account_id.to_owned());
        let budget = entry.or_insert_with(|| {
            let gate = |service| {
                let gate = Gate::new(Arc::from(account_id), service, self.metrics.clone());
                Arc::new(gate)
            };
            Budget {
                iam: gate(Service::Iam),
                sts: gate(Service::Sts),
            }
        });
        budget.clone()
    }
}

impl Budget {
    /// The gate of a service.
    pub fn gate(&self, service: Service) -> &Arc<Gate> {
        match service {
            Service::Iam => &self.iam,
            Service::Sts => &self.sts,
        }
    }
}
