"""What people see of a result: overlay pictures, sentences, self-contained HTML pages."""
