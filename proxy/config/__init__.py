"""The configuration: YAML text to checked, frozen values. Workers import `values` alone; `load` imports pydantic and PyYAML."""
