// Apart from the module above it, whose versions those of Kubernetes decide.
module sealift.dev/testenv/referrers-registry

go 1.26.0

require github.com/google/go-containerregistry v0.22.1
