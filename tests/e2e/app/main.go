// An application that uses its key: every second it asks AWS who it is, with
// the variables of its environment or with the shared-credentials file that
// AWS_SHARED_CREDENTIALS_FILE names, whichever the SDK finds. It reads both
// anew each time, as programs do that want to see a rotation, and prints a line
// when the answer changes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	said := ""
	for {
		if line := answer(ctx); line != said && ctx.Err() == nil {
			fmt.Println(time.Now().UTC().Format(time.RFC3339), line)
			said = line
		}
		select {
		case <-ctx.Done():
			os.Exit(0)
		case <-time.After(time.Second):
		}
	}
}

// answer says who AWS takes this program for, and by which key.
func answer(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return "no settings: " + err.Error()
	}
	key, err := settings.Credentials.Retrieve(ctx)
	if err != nil {
		return "no key"
	}
	identity, err := sts.NewFromConfig(settings).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	var refusal smithy.APIError
	switch {
	case errors.As(err, &refusal):
		return fmt.Sprintf("key=%s refused=%s", key.AccessKeyID, refusal.ErrorCode())
	case err != nil:
		return fmt.Sprintf("key=%s error=%q", key.AccessKeyID, err)
	}
	return fmt.Sprintf("key=%s from=%s arn=%s", key.AccessKeyID, key.Source, aws.ToString(identity.Arn))
}
