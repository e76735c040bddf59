"""The configuration: YAML text to checked, frozen values. Workers import only `values`, never pydantic or PyYAML."""
