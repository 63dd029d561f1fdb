//! `keylease iam-policy`: what the operator needs in AWS, and no more.

mod document;
mod parse;
#[cfg(test)]
mod tests;

use keylease_core::plan::account::DEFAULT_PATH;
use parse::{account_id, iam_arn, name, partition, policy_arn, user_arn, user_path};

/// Characters, white space left out, that AWS takes as one managed policy.
const MANAGED_POLICY: usize = 6144;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The AWS account, 12 digits. Default: any.
    #[arg(long, value_name = "ID", default_value = "*", value_parser = account_id)]
    account_id: String,

    /// Path of the users, as in AwsAccount.spec.iamUsers.path.
    #[arg(long, default_value = DEFAULT_PATH, value_parser = user_path)]
    path: String,

    /// Confine the policy to one cluster: the uid of its kube-system namespace.
    #[arg(long, value_name = "UID", value_parser = name)]
    cluster_id: Option<String>,

    /// The AWS partition: aws, aws-cn, aws-us-gov, aws-eusc, aws-iso, aws-iso-b, …
    #[arg(long, default_value = "aws", value_parser = partition)]
    partition: String,

    /// ARN of the permissions boundary that every user must carry.
    /// Without one the operator could make a user that may do more than
    /// itself; with one AWS stops it.
    #[arg(long, value_name = "ARN", value_parser = policy_arn)]
    boundary: Option<String>,

    /// ARN of a managed policy that roles may attach. Repeatable. Default: any.
    #[arg(long = "allow-policy", value_name = "ARN", value_parser = policy_arn)]
    policies: Vec<String>,

    /// Whether roles with a policyDocument are used. An inline policy can say
    /// anything, so beside --allow-policy this needs a --boundary.
    #[arg(long)]
    inline: bool,

    /// Name of an IAM group that roles may use, with its path where it has one
    /// (team/readers). Repeatable. Default: none, because AWS cannot confine
    /// group membership to a user path.
    #[arg(long = "allow-group", value_name = "NAME", value_parser = name)]
    groups: Vec<String>,

    /// Name of an IAM group whose policies sessions carry (groups of assumedRole
    /// and federationToken). Repeatable. Default: none.
    #[arg(long = "read-group", value_name = "NAME", value_parser = name)]
    read_groups: Vec<String>,

    /// ARN of an IAM role that roles of type assumedRole may hand out.
    /// Repeatable. Default: none.
    #[arg(long = "assume-role", value_name = "ARN", value_parser = iam_arn)]
    assumed: Vec<String>,

    /// ARN of an IAM user that roles of type staticUser adopt. Repeatable.
    /// Default: none.
    #[arg(long = "static-user", value_name = "ARN", value_parser = user_arn)]
    static_users: Vec<String>,

    /// Whether roles of type federationToken are used. sessionToken needs no
    /// right.
    #[arg(long)]
    federation: bool,

    /// ARN of the IAM user that the operator itself signs in as, for
    /// AwsAccount.spec.rootRotation: lets it replace that user's access key.
    /// Default: its key is not touched.
    #[arg(long, value_name = "ARN", value_parser = user_arn)]
    root_user_arn: Option<String>,
}

impl Args {
    /// What the flags say together must be possible, and mean something.
    fn check(&self) -> Result<(), String> {
        if self.inline && !self.policies.is_empty() && self.boundary.is_none() {
            return Err(
                "--inline beside --allow-policy would let the operator write any policy of its \
                 own, and --allow-policy would confine nothing; add --boundary, or leave one out"
                    .to_owned(),
            );
        }
        let arns = self.boundary.iter().chain(&self.policies);
        let arns = arns.chain(&self.assumed).chain(&self.static_users);
        let prefix = format!("arn:{}:", self.partition);
        match arns
            .chain(&self.root_user_arn)
            .find(|a| !a.starts_with(&prefix))
        {
            Some(arn) => {
                let theirs = arn.split(':').nth(1).unwrap_or_default();
                Err(format!(
                    "{arn} is of partition {theirs}, and the policy of {}; add --partition {theirs}",
                    self.partition
                ))
            }
            None => Ok(()),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), String> {
    args.check()?;
    let policy = document::policy(args);
    let size = policy.to_string().len();
    if size > MANAGED_POLICY {
        eprintln!(
            "keylease: the policy has {size} characters, and AWS takes {MANAGED_POLICY} as one \
             managed policy; its statements stand each for itself, so they may be spread over two"
        );
    }
    let text = serde_json::to_string_pretty(&policy).map_err(|e| e.to_string())?;
    println!("{text}");
    Ok(())
}
