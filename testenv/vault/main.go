// Command vault is HashiCorp Vault's own server core and transit engine, in memory and unsealed, without the rest of its
// plugins, which would take most of an hour to build: vault HOST:PORT TOKEN, where TOKEN becomes the root token.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/helper/namespace"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: vault HOST:PORT TOKEN")
	}
	core, err := start(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	properties := &vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{}}
	log.Fatal(http.ListenAndServe(os.Args[1], vaulthttp.Handler.Handler(properties)))
}

// start does what `vault server -dev` does: a new core in memory, initialised, unsealed, with a root token of our choice.
func start(token string) (*vault.Core, error) {
	logger := hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Info})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:        storage,
		LogicalBackends: map[string]logical.Factory{"transit": transit.Factory},
		BuiltinRegistry: onlyTransit{},
		Logger:          logger,
		DisableMlock:    true,
	})
	if err != nil {
		return nil, err
	}
	ctx := namespace.RootContext(context.Background())
	config := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	made, err := core.Initialize(ctx, &vault.InitParams{BarrierConfig: config})
	if err != nil {
		return nil, err
	}
	if unsealed, err := core.Unseal(made.SecretShares[0]); err != nil || !unsealed {
		return nil, fmt.Errorf("could not unseal: %w", err)
	}
	answer, err := core.HandleRequest(ctx, &logical.Request{
		ID:          "root-token",
		Operation:   logical.UpdateOperation,
		ClientToken: made.RootToken,
		Path:        "auth/token/create",
		Data:        map[string]any{"id": token, "policies": []string{"root"}, "no_parent": true, "no_default_policy": true},
	})
	if err != nil || answer.IsError() {
		return nil, fmt.Errorf("could not make the root token: %v %w", answer, err)
	}
	return core, nil
}

// onlyTransit is the list of built-in plugins of a server that has one.
type onlyTransit struct{}

func (onlyTransit) Contains(name string, kind consts.PluginType) bool {
	return name == "transit" && kind == consts.PluginTypeSecrets
}

func (r onlyTransit) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	return func() (any, error) { return logical.Factory(transit.Factory), nil }, r.Contains(name, kind)
}

func (onlyTransit) Keys(kind consts.PluginType) []string {
	if kind == consts.PluginTypeSecrets {
		return []string{"transit"}
	}
	return nil
}

func (r onlyTransit) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, r.Contains(name, kind)
}

func (onlyTransit) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
