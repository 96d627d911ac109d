"""Objects in MinIO or any other S3 store, addressed as minio://bucket/key or s3://bucket/key."""
