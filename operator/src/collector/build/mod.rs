//! What one collector becomes: for each DPI the Kubernetes objects of its receiver. Pure: the same
//! object and the same version give the same objects, byte for byte, whatever the operator's version.
