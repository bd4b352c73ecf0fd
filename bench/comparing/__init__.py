"""What bench/compare is made of: see there."""
