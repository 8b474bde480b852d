"""What would hurt in data, told before it is imported or learnt from."""
