"""The operations of the ECR API, a function each, from a call to the members of its answer."""
