// Fluxapply applies the objects on its standard input as Flux's
// kustomize-controller does: by server-side apply with Flux's own library, after
// the same clean-up of what others wrote before. It prints a line for each object,
// with what was done: created, configured or unchanged.
//
// The cluster is that of KUBECONFIG.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// controller is the name under which kustomize-controller writes.
const controller = "kustomize-controller"

// group is the group of Flux's own annotations and labels.
const group = "kustomize.toolkit.fluxcd.io"

func main() {
	if err := apply(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fluxapply:", err)
		os.Exit(1)
	}
}

func apply(ctx context.Context, in io.Reader, out io.Writer) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	objects, err := utils.ReadObjects(in)
	if err != nil {
		return err
	}
	if err := normalize.UnstructuredList(objects); err != nil {
		return err
	}
	// Nothing is waited for, so that nothing polls.
	manager := ssa.NewResourceManager(cluster, nil, ssa.Owner{Field: controller, Group: group})
	manager.SetOwnerLabels(objects, "keylease", "flux-system")
	changes, err := manager.ApplyAll(ctx, objects, options())
	if err != nil {
		return err
	}
	for _, change := range changes.Entries {
		if _, err := fmt.Fprintln(out, change.String()); err != nil {
			return err
		}
	}
	return nil
}

// options are those of a Kustomization with nothing but a path and a source, in
// kustomize-controller 1.9: the managers whose writes it undoes above all. A
// manager is known by the beginning of its name.
func options() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.ExclusionSelector = map[string]string{
		group + "/reconcile": "disabled",
		group + "/ssa":       "Ignore",
	}
	options.IfNotPresentSelector = map[string]string{group + "/ssa": "IfNotPresent"}
	options.ForceSelector = map[string]string{group + "/force": "enabled"}
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: controller, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{group + "/ssa": "Merge"},
	}
	return options
}
