//go:build tools

// Package helm pins the program that renders and checks the chart. It holds no code of its own:
// scripts/build-helm builds what is named here at the version in go.mod.
package helm

import _ "helm.sh/helm/v3/cmd/helm"
