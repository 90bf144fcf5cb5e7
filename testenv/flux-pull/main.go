// Command flux-pull pulls an artifact into a folder with Flux's own OCI client, as source-controller does:
//
//	flux-pull HOST/REPOSITORY:TAG FOLDER
//
// It prints the artifact's revision. Plain HTTP, for registries on loopback.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/pkg/oci"
	"github.com/google/go-containerregistry/pkg/crane"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "flux-pull:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 {
		return fmt.Errorf("usage: flux-pull HOST/REPOSITORY:TAG FOLDER")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := oci.NewClient(append(oci.DefaultOptions(), crane.Insecure))
	meta, err := client.Pull(ctx, os.Args[1], os.Args[2])
	if err != nil {
		return err
	}
	fmt.Println(meta.Digest)
	return nil
}
