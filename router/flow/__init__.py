"""What the product does, in the order it does it: intake, route, index, dispatch, deliver."""
