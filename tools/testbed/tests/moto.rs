//! moto, for real.

use anyhow::Result;
use keylease_testbed::{Moto, MotoOptions, paths};

#[tokio::test(flavor = "multi_thread")]
async fn answers_the_cli_and_forgets() -> Result<()> {
    if let Some(why) = paths::missing_python_tools() {
        eprintln!("\n*** SKIPPED {}: {why}\n", module_path!());
        return Ok(());
    }
    let moto = Moto::start(MotoOptions {
        load_managed_policies: true,
        ..MotoOptions::default()
    })
    .await?;
    let create = ["iam", "create-user", "--user-name=web"];
    moto.aws_cli(&[], &create).await?;
    let attach = [
        "iam",
        "attach-user-policy",
        "--user-name=web",
        "--policy-arn=arn:aws:iam::aws:policy/ReadOnlyAccess",
    ];
    moto.aws_cli(&[], &attach).await?;
    assert!(moto.aws_cli(&[], &create).await.is_err());

    moto.stop();
    assert!(
        moto.aws_cli(&[("AWS_MAX_ATTEMPTS", "1")], &create)
            .await
            .is_err()
    );
    moto.start_again().await?;
    moto.aws_cli(&[], &create).await?;
    Ok(())
}
