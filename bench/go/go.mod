// What waypost's templates are compared with: Go's own, with functions such as confd has. No dependencies.
module waypost/bench

go 1.19
