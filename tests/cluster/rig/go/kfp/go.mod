module rig/kfp

go 1.26.0

tool (
	github.com/kubeflow/pipelines/backend/src/agent/persistence
	github.com/kubeflow/pipelines/backend/src/apiserver
	github.com/kubeflow/pipelines/backend/src/v2/cmd/driver
	github.com/kubeflow/pipelines/backend/src/v2/cmd/launcher-v2
)

// Release 2.17.0; its tags are no Go versions, so the commit's pseudo-version names it.
require github.com/kubeflow/pipelines v0.0.0-20260709152847-4a3592cb2dd0

// The root module replaces these two by its own folders, which does not count when it is a dependency: same commit.
require (
	github.com/kubeflow/pipelines/api v0.0.0-20260709152847-4a3592cb2dd0
	github.com/kubeflow/pipelines/kubernetes_platform v0.0.0-20260709152847-4a3592cb2dd0
)
